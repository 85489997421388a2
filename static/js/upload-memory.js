/**
 * What a browser remembers of unfinished uploads, and which of its tabs sends them.
 *
 * Records live in localStorage, per person, so that they survive a reload and a new login. A tab that sends holds a lock;
 * it tells the other tabs how far it is.
 */

const channel = new BroadcastChannel("vitrine-uploads");
const held = new Map(); // upload id → () => void that lets go

const key = (user) => `vitrine.uploads.${user}`;

/** All records of this person, oldest first. */
export function remembered(user) {
  try {
    return Object.values(JSON.parse(localStorage.getItem(key(user)) ?? "{}")).sort((a, b) => a.created - b.created);
  } catch {
    return []; // someone else wrote there, or storage is closed to us: then nothing is remembered
  }
}

function change(user, edit) {
  try {
    const records = JSON.parse(localStorage.getItem(key(user)) ?? "{}");
    edit(records);
    localStorage.setItem(key(user), JSON.stringify(records));
  } catch {
    // Storage is full or closed: the upload goes on, it is only not remembered.
  }
}

export const remember = (user, record) => change(user, (records) => (records[record.id] = record));
export const forget = (user, id) => change(user, (records) => delete records[id]);

/** Become the one tab that sends this upload; false when another one does. */
export async function claim(id) {
  if (held.has(id)) return true;
  return navigator.locks ? claimByLock(id) : claimByAsking(id);
}

function claimByLock(id) {
  return new Promise((answer) => {
    navigator.locks.request(`vitrine-upload-${id}`, { ifAvailable: true }, (lock) => {
      if (!lock) return answer(false);
      answer(true);
      return new Promise((release) => held.set(id, release));
    });
  });
}

/** Where the page may not use locks (plain http from afar): ask, and wait a moment for an objection. */
async function claimByAsking(id) {
  const free = !(await objected(id));
  if (free) held.set(id, () => {});
  return free;
}

function objected(id) {
  return new Promise((answer) => {
    const listen = ({ data }) => data.type === "held" && data.id === id && done(true);
    const timer = setTimeout(() => done(false), 300);
    const done = (yes) => {
      channel.removeEventListener("message", listen);
      clearTimeout(timer);
      answer(yes);
    };
    channel.addEventListener("message", listen);
    channel.postMessage({ type: "claim", id });
  });
}

/** Whether another tab sends this upload. */
export async function elsewhere(id) {
  if (held.has(id)) return false;
  if (!navigator.locks) return objected(id);
  return (await navigator.locks.query()).held.some((lock) => lock.name === `vitrine-upload-${id}`);
}

export function release(id) {
  held.get(id)?.();
  held.delete(id);
}

/** Tell the other tabs how an upload stands. */
export const tell = (id, figures) => channel.postMessage({ type: "figures", id, ...figures });

/** Call `hear({id, state, sent, rate})` for what other tabs tell. */
export function listen(hear) {
  channel.addEventListener("message", ({ data }) => {
    if (data.type === "claim" && held.has(data.id)) channel.postMessage({ type: "held", id: data.id });
    if (data.type === "figures") hear(data);
  });
}
