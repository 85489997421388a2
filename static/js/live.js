// One websocket per tab. A message is a hint: progress carries numbers, a change makes the row fetch itself again, so that
// each viewer gets what that viewer may see.
const vitrine = window.vitrine;
const LOGIN_ENDED = 4401;
const PROJECT_CHANGED = 4000;
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const body = document.body;

let socket = null;
let project = "";
let failures = 0;
let timer = 0;
let ended = false;
let connectedBefore = false;

// -- the connection ------------------------------------------------------------------------------------------------
function show(state) {
  const live = document.querySelector("#live");
  if (!live || live.dataset.state === state) return;
  live.dataset.state = state;
  live.title = live.querySelector(".live-text").textContent = vitrine.text(state === "live" ? "live" : "reconnecting");
}

function connect() {
  clearTimeout(timer);
  const address = new URL(body.dataset.live, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  project = vitrine.project();
  const mine = (socket = new WebSocket(address));
  // A refused login is accepted first and closed at once: only what stays open counts after one has ended.
  mine.onopen = () => setTimeout(() => socket === mine && mine.readyState === WebSocket.OPEN && opened(), ended ? 1000 : 0);
  mine.onmessage = (event) => receive(JSON.parse(event.data));
  mine.onclose = (event) => {
    if (socket !== mine) return;
    show("reconnecting");
    if (event.code === LOGIN_ENDED && !ended) {
      ended = true;
      vitrine.signedOut();
    }
    if (event.code === PROJECT_CHANGED) vitrine.reload(); // switched in another tab: the same for all of them
    retry();
  };
}

function opened() {
  failures = 0;
  show("live");
  if (ended) {
    ended = false;
    vitrine.signedIn();
  } else if (connectedBefore) {
    refreshAll(); // what happened meanwhile was not heard
  }
  connectedBefore = true;
  document.dispatchEvent(new CustomEvent("vitrine:live"));
}

function retry() {
  const wait = Math.min(15000, 500 * 2 ** failures) * (0.5 + Math.random());
  failures += 1;
  clearTimeout(timer);
  timer = setTimeout(connect, ended ? 5000 : wait);
}

function reconnect() {
  const old = socket;
  socket = null;
  old?.close();
  failures = 0;
  connect();
}

window.addEventListener("online", reconnect);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && socket?.readyState !== WebSocket.OPEN && socket?.readyState !== WebSocket.CONNECTING) reconnect();
});
document.addEventListener("vitrine:page", () => {
  if (vitrine.project() !== project) reconnect(); // another project: other groups
});

// -- messages ------------------------------------------------------------------------------------------------------
function receive(message) {
  if (message.type === "progress") progress(message);
  if (message.type === "changed") changed(message.subject);
}

function figures(message) {
  const parts = [];
  if (message.status !== "running" && message.status !== "waiting") return "";
  if (message.percent !== null && message.percent !== undefined) parts.push(`${message.percent} %`);
  else if (message.done) parts.push(vitrine.size(message.done));
  if (message.rate > 0 && ["send", "download"].includes(message.stage)) parts.push(`${vitrine.size(message.rate)}/s`);
  else if (message.seconds_left > 0) parts.push(vitrine.text("left", { time: vitrine.duration(message.seconds_left) }));
  return parts.join(" · ");
}

const END = ["succeeded", "failed", "errored", "cancelled"];
function progress(message) {
  document.dispatchEvent(new CustomEvent("vitrine:progress", { detail: message }));
  const lines = $$(`[data-job="${message.job}"]`);
  heard.set(message.job, Date.now());
  for (const line of lines) {
    // A row whose work has ended shows what its subject is now, not a last label of the work.
    const row = END.includes(message.status) && line.closest("[data-subject][data-refresh]");
    row ? refresh(row) : draw(line, message);
  }
  for (const journey of $$(`[data-journey="${message.job}"]`)) walk(journey, message);
  const known = lines.some((line) => line.closest("#bell"));
  if (END.includes(message.status)) {
    if (lines.length) vitrine.announce(vitrine.text("outcome", { title: message.title, label: message.message || message.label }));
    later("bell", bell, 400);
  } else if (!known) {
    later("bell", bell, 400);
  }
}

function draw(line, message) {
  const label = line.querySelector(".job-label");
  const numbers = line.querySelector(".job-figures");
  const bar = line.querySelector("progress");
  line.dataset.status = message.status;
  delete line.dataset.tone;
  if (label && label.textContent !== message.label) label.textContent = message.label;
  if (numbers) numbers.textContent = figures(message);
  if (!bar) return;
  const step = String(message.step ?? message.stage);
  const before = line.dataset.step === step ? Number(bar.value) || 0 : 0; // within a step it never runs backwards
  line.dataset.step = step;
  if (message.percent === null || message.percent === undefined) bar.removeAttribute("value");
  else bar.value = Math.max(before, message.percent);
}

// Bytes that come from outside can stop coming, and nobody says so: a sender that paused, or whose network is away.
const SILENCE = 6000;
const heard = new Map();
setInterval(() => {
  for (const line of $$('[data-job][data-status="waiting"]')) {
    const { job } = line.dataset;
    if (!heard.has(job)) heard.set(job, Date.now());
    if (Date.now() - heard.get(job) < SILENCE) continue;
    const [label, numbers, bar] = [".job-label", ".job-figures", "progress"].map((name) => line.querySelector(name));
    label.textContent = vitrine.text("waiting");
    line.dataset.tone = "warn";
    numbers.textContent = bar.hasAttribute("value") ? `${bar.value} %` : "";
  }
}, 2000);

function walk(journey, message) {
  const steps = $$(".journey-step", journey);
  const now = steps.findIndex((step) => step.dataset.step === message.stage);
  const moved = now >= 0 && !steps[now].classList.contains("now");
  if ((moved || END.includes(message.status)) && journey.dataset.refresh) {
    later(`journey ${message.job}`, () => refresh(journey), 100);
    return;
  }
  steps.forEach((step, index) => {
    if (now < 0) return;
    step.classList.toggle("done", index < now);
    step.classList.toggle("now", index === now);
    step.classList.toggle("todo", index > now);
    if (index === now) draw(step, message);
  });
}

function changed(subject) {
  document.dispatchEvent(new CustomEvent("vitrine:changed", { detail: { subject } }));
  const shown = $$(`[data-subject="${CSS.escape(subject)}"][data-refresh]`);
  shown.forEach(refresh);
  const plural = `${subject.split(".")[0]}s`;
  for (const list of $$("[data-refresh-on]")) {
    const wanted = list.dataset.refreshOn.split(/[\s,]+/);
    const inside = shown.some((element) => list.contains(element));
    if (wanted.includes(subject) || (wanted.includes(plural) && !inside)) later(list.id || plural, () => refresh(list), 400);
  }
}

// -- fetching again ------------------------------------------------------------------------------------------------
const timers = {};
function later(key, act, wait) {
  clearTimeout(timers[key]);
  timers[key] = setTimeout(act, wait);
}

function bell() {
  const list = document.querySelector("#bell");
  if (list) window.htmx.trigger(list, "refresh");
}

const busy = new WeakMap();
async function refresh(element) {
  const current = element.isConnected ? element : element.id && document.getElementById(element.id);
  if (!current) return;
  if (busy.has(current)) {
    busy.set(current, true); // once more when this answer is here
    return;
  }
  if (current.querySelector(".dropdown-menu.show") || current.querySelector(":popover-open")) {
    later(`open ${current.id}`, () => refresh(current), 1000); // not from under the pointer
    return;
  }
  const url = current.dataset.refresh || location.pathname + location.search;
  const id = current.id;
  const before = words(current);
  const ticked = $$("input[type=checkbox]:checked", current).map((box) => box.value);
  const focused = place(current);
  busy.set(current, false);
  try {
    await window.htmx.ajax("GET", url, { source: current, target: current, swap: "outerHTML", push: "false", select: id ? `#${CSS.escape(id)}` : undefined });
  } catch {
    // The network is away; the next connection fetches everything again.
  }
  const again = busy.get(current);
  busy.delete(current);
  const fresh = id ? document.getElementById(id) : null;
  if (!fresh) return;
  for (const box of $$("input[type=checkbox]", fresh)) if (ticked.includes(box.value)) box.checked = true;
  if (focused && !fresh.contains(document.activeElement)) focused(fresh)?.focus({ preventScroll: true });
  if (fresh !== current && words(fresh) !== before && !fresh.matches("[data-refresh-on]")) flash(fresh);
  if (again) refresh(fresh);
}

// Where the focus stands in an element: a way to find the same control in what takes its place.
const CONTROLS = "a, button, input, select, textarea, summary";
function place(element) {
  const { activeElement: control } = document;
  if (!element.contains(control)) return null;
  if (control.id) return () => document.getElementById(control.id);
  const at = $$(CONTROLS, element).indexOf(control);
  return (fresh) => [$$(CONTROLS, fresh)[at]].find((other) => other?.tagName === control.tagName);
}

// What a person would call a change: not the numbers of running work.
const words = (element) =>
  [...element.querySelectorAll(":scope *:not(time)")]
    .filter((child) => !child.children.length && !child.closest("[data-job]"))
    .map((child) => child.textContent.trim())
    .join("|");

function flash(element) {
  element.classList.add("flash");
  element.addEventListener("animationend", () => element.classList.remove("flash"), { once: true });
}

function refreshAll() {
  const lists = $$("[data-refresh-on]");
  lists.forEach(refresh);
  $$("[data-subject][data-refresh], [data-journey][data-refresh]").filter((one) => !lists.some((list) => list.contains(one))).forEach(refresh);
  bell();
}

document.addEventListener("htmx:responseError", (event) => {
  const { xhr, elt } = event.detail;
  if (elt.matches("[data-refresh]") && [403, 404].includes(xhr.status)) elt.remove();
});

vitrine.live = { reconnect, refresh, refreshAll, figures };
connect();
