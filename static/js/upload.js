/**
 * Uploads of this tab: keeps them going while the person moves between pages, brings them back after a reload.
 *
 * Loaded by every signed-in page. The create form hands files over with `window.vitrine.uploads.add(file, record)`.
 */

import * as memory from "./upload-memory.js";
import { OVER, SENDING, Transfer, sentence } from "./transfer.js";
import { Tray } from "./tray.js";
import { text } from "./units.js";

const AT_ONCE = 2;
const NOWHERE = "00000000-0000-0000-0000-000000000000";
const root = document.getElementById("upload-tray");
const page = root?.querySelector("[data-tray]")?.dataset; // the page's URLs, and whose page it is
const vitrine = (window.vitrine ??= {});
const transfers = new Map();

function addresses() {
  const to = (name) => (image) => page[name].replace(NOWHERE, image);
  return { detail: to("detail"), upload: to("upload"), cancel: to("cancel"), throwAway: to("throwAway"), login: page.login };
}

/** POST a form as the page would; the answer's JSON, with `ok` and `status`. */
export async function post(url, fields = {}, again = true) {
  const token = JSON.parse(document.body.getAttribute("hx-headers"));
  try {
    const answer = await fetch(url, { method: "POST", body: new URLSearchParams(fields), headers: { ...token, Accept: "application/json" } });
    if (answer.redirected && new URL(answer.url).pathname === page.login) return { ok: false, status: 401, message: text("state-signin") };
    const said = await answer.text();
    const json = (() => { try { return JSON.parse(said); } catch { return {}; } })();
    if (answer.status === 403 && json.csrf && again && (await renew())) return post(url, fields, false);
    return { ...json, message: json.message ?? sentence(said), ok: answer.ok, status: answer.status };
  } catch {
    return { ok: false, status: 0, message: text("no-server") };
  }
}

/** Another token after a login in another tab; false when that tab is now someone else or works in another project. */
async function renew() {
  const answer = await fetch(page.login, { headers: { Accept: "text/html" } }); // signed in, this leads to the front page
  const html = await answer.text();
  const there = new DOMParser().parseFromString(html, "text/html");
  const user = there.querySelector("[data-tray]")?.dataset.user;
  const project = there.getElementById("topbar-project")?.dataset.project;
  if (user && (user !== page.user || project !== vitrine.project())) return false;
  vitrine.renewCsrf(html);
  return true;
}

function start() {
  const { user } = page;
  const urls = addresses();
  const tray = new Tray(root, press);

  function take(record, file = null) {
    const transfer = new Transfer(record, { user, file, urls });
    transfers.set(record.id, transfer);
    transfer.addEventListener("change", () => {
      tray.draw(transfer);
      next();
    });
    tray.show(transfer);
    return transfer;
  }

  /** Start what waits, as long as there is room. */
  function next() {
    const busy = [...transfers.values()].filter((t) => t.state === "sending" || t.state === "offline").length;
    const waiting = [...transfers.values()].filter((t) => t.state === "queued" && !t.started);
    for (const transfer of waiting.slice(0, Math.max(0, AT_ONCE - busy))) {
      transfer.started = true;
      transfer.send().finally(() => (transfer.started = false));
    }
  }

  function drop(transfer) {
    tray.remove(transfer);
    memory.release(transfer.id);
    transfers.delete(transfer.id);
  }

  async function again(transfer) {
    if (!transfer.file) return follow(urls.upload(transfer.record.image));
    const answer = await post(urls.upload(transfer.record.image), transfer.record.form);
    if (!answer.ok) return transfer.become("failed", answer.message);
    drop(transfer);
    add(transfer.file, { ...transfer.record, sent: 0 }, answer);
  }

  async function throwAway(transfer) {
    const answer = await post(urls.throwAway(transfer.record.image));
    if (!answer.ok && answer.status !== 404) return transfer.become(transfer.state, answer.message);
    drop(transfer);
  }

  async function press(name, transfer, file) {
    if (name === "pause") transfer.pause();
    else if (name === "resume") transfer.become("queued");
    else if (name === "cancel") await transfer.cancel(post);
    else if (name === "choose") await transfer.attach(file).then(() => transfer.note());
    else if (name === "retry") await again(transfer);
    else if (name === "throw-away") await throwAway(transfer);
    else if (name === "dismiss") drop(transfer);
    else if (name === "clear") [...transfers.values()].filter((t) => OVER.has(t.state)).forEach(drop);
    next();
  }

  /** Begin to send `file`; `answer` is what the server said when the upload was made. */
  function add(file, record, answer) {
    for (const former of transfers.values()) if (former.record.image === answer.image.id && OVER.has(former.state)) drop(former);
    const transfer = take(
      {
        ...record,
        id: answer.upload.id, url: answer.upload.url, grant: answer.upload.grant, image: answer.image.id, job: answer.job,
        name: answer.image.name, file: file.name, size: file.size, modified: file.lastModified, mark: "", created: Date.now(),
      },
      file,
    );
    transfer.note();
    tray.open(true, { byItself: true });
    next();
  }

  for (const record of memory.remembered(user)) take(record).find();
  memory.listen((figures) => {
    const known = transfers.get(figures.id);
    const record = known ? null : memory.remembered(user).find((r) => r.id === figures.id);
    (known ?? (record && take(record)))?.mirror(figures);
  });
  listen();
  vitrine.uploads = { add, all: () => [...transfers.values()].map((t) => ({ id: t.id, state: t.state, sent: t.sent, total: t.total })) };
}

function listen() {
  const each = (call) => transfers.forEach(call);
  addEventListener("online", () => each((t) => t.online()));
  document.addEventListener("vitrine:live", () => each((t) => t.online()));
  addEventListener("beforeunload", (event) => {
    if ([...transfers.values()].some((t) => t.file && SENDING.has(t.state))) event.preventDefault();
  });
  document.addEventListener("vitrine:progress", ({ detail }) => each((t) => detail.job === t.record.job && t.hear(detail)));
  document.addEventListener("vitrine:changed", ({ detail }) =>
    each((t) => detail.subject === `image.${t.record.image}` && !OVER.has(t.state) && t.state === "working" && t.lookUp()),
  );
  // The socket only hints; should it be silent, ask.
  setInterval(() => each((t) => t.state === "working" && t.lookUp()), 4000);
}

/** Go to `url` as a click on a link would: only the page's middle changes, the tray lives on. */
export function follow(url) {
  const link = document.createElement("a");
  link.href = url;
  link.hidden = true;
  document.getElementById("page").append(link);
  window.htmx?.process(link);
  link.click();
}

/** The create form brings its own script, fetched when a page has one. */
async function prepare() {
  const forms = document.querySelectorAll("form[data-source-form]:not([data-ready])");
  if (!forms.length) return;
  const { SourceForm } = await import(forms[0].dataset.script);
  for (const form of forms) if (!form.dataset.ready) new SourceForm(form, { post, follow, login: page.login, add: (...args) => vitrine.uploads.add(...args) });
}

/** A form sent before its script has come waits for it. */
async function hold(event) {
  const form = event.target;
  if (!form.matches("form[data-source-form]:not([data-ready])") || form.elements.source.value !== "file") return;
  event.preventDefault();
  event.stopImmediatePropagation();
  await prepare();
  form.requestSubmit(event.submitter);
}

if (page) start();
prepare();
document.addEventListener("htmx:load", prepare);
document.addEventListener("submit", hold, { capture: true });
