/**
 * One file on its way: sends it with tus, follows the server's work on it, and always knows in which state it is.
 *
 * States: queued, sending, paused, offline (waits for the network), choose (the file must be chosen again), elsewhere (another
 * tab sends it), signin, working (all sent; the server inspects, converts, stores), active, failed, cancelled, gone.
 * Dispatches "change" whenever something to be shown has changed.
 */

import * as memory from "./upload-memory.js";
import { fingerprint } from "./format.js";
import { text } from "./units.js";

const CHUNK = 64 * 1024 * 1024; // the piece size with the highest measured rate
const DELAYS = [0, 500, 1000, 2000, 4000];
const WINDOW = 5000; // ms over which the speed is the mean
const TEMPORARY = new Set([0, 408, 409, 423, 429]);
export const SENDING = new Set(["queued", "sending", "paused", "offline"]);
export const OVER = new Set(["active", "failed", "cancelled", "gone"]);

let library;
/** The tus client, fetched when the first upload begins. */
function tusLibrary() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.getElementById("upload-tray").dataset.tus;
    script.onload = () => resolve(window.tus);
    script.onerror = () => {
      library = undefined;
      reject(new Error("tus"));
    };
    document.head.append(script);
  });
  return library;
}

const statusOf = (error) => error?.originalResponse?.getStatus() ?? 0;

/** The sentence in an error answer, whichever of the server's envelopes it came in. */
export function sentence(body) {
  try {
    const fault = JSON.parse(body);
    const inner = fault.message ?? fault.error?.message ?? Object.values(fault).find((value) => value?.message)?.message;
    return typeof inner === "string" ? inner : "";
  } catch {
    const page = new DOMParser().parseFromString(body ?? "", "text/html");
    const said = page.body.textContent.replace(/^\s*\d{3}\s[\w ]+?\s{2,}/, "").trim();
    return said.length < 600 ? said : "";
  }
}

export class Transfer extends EventTarget {
  #tus = null;
  #samples = [];
  #again = 0;
  #timer = 0;

  constructor(record, { user, file = null, urls }) {
    super();
    Object.assign(this, { record, user, file, urls, state: file ? "queued" : "choose", reason: "", sent: record.sent ?? 0, job: null });
    this.total = record.size;
  }

  get id() {
    return this.record.id;
  }

  get rate() {
    const [first] = this.#samples;
    const last = this.#samples.at(-1);
    return first && last.at > first.at ? ((last.sent - first.sent) * 1000) / (last.at - first.at) : 0;
  }

  get secondsLeft() {
    return this.rate > 0 ? (this.total - this.sent) / this.rate : null;
  }

  become(state, reason = "") {
    if (this.state === state && this.reason === reason) return;
    this.state = state;
    this.reason = reason;
    if (state !== "sending") this.#samples = [];
    if (OVER.has(state)) memory.forget(this.user, this.id);
    if (OVER.has(state) || state === "working") memory.release(this.id);
    this.#changed();
  }

  #changed() {
    if (SENDING.has(this.state) || this.state === "working" || OVER.has(this.state)) {
      memory.tell(this.id, { state: this.state, sent: this.sent, rate: this.rate });
    }
    this.dispatchEvent(new Event("change"));
  }

  /** Remember this upload, with a mark by which the same file is known again. */
  async note() {
    if (this.file && !this.record.mark) this.record.mark = await fingerprint(this.file).catch(() => "");
    if (SENDING.has(this.state)) memory.remember(this.user, this.record);
  }

  async send() {
    clearTimeout(this.#timer);
    if (!(await memory.claim(this.id))) return this.become("elsewhere");
    let tus;
    try {
      tus = await tusLibrary();
    } catch {
      return this.#wait();
    }
    if (this.state !== "queued" && this.state !== "offline") return; // paused or cancelled meanwhile
    this.#tus ??= new tus.Upload(this.file, {
      uploadUrl: new URL(this.record.url, location.href).href,
      headers: { "Upload-Grant": this.record.grant },
      chunkSize: CHUNK,
      parallelUploads: 1,
      retryDelays: DELAYS,
      storeFingerprintForResuming: false,
      onProgress: (sent) => this.#progress(sent),
      onShouldRetry: (error) => this.#shouldRetry(error),
      onError: (error) => this.#stopped(error),
      onSuccess: () => this.finished(),
    });
    this.become("sending");
    this.#tus.start();
  }

  #progress(sent) {
    if (this.state !== "sending" && this.state !== "offline") return; // a late event of a request that was paused
    if (this.state === "offline") this.become("sending");
    this.#again = 0;
    this.sent = Math.max(this.sent, sent);
    const now = performance.now();
    this.#samples.push({ at: now, sent });
    while (this.#samples.length > 2 && now - this.#samples[0].at > WINDOW) this.#samples.shift();
    this.#changed();
  }

  #shouldRetry(error) {
    const status = statusOf(error);
    const again = TEMPORARY.has(status) || status >= 500;
    if (again && this.state === "sending") this.become("offline");
    return again;
  }

  /** tus has given up: wait for the network, or find out what became of the upload. */
  async #stopped(error) {
    const status = statusOf(error);
    if (this.state === "paused" || OVER.has(this.state)) return;
    if (status === 0 && !(await this.#readable())) return this.become("failed", text("unreadable"));
    if (TEMPORARY.has(status) || status >= 500) return this.#wait();
    if (status === 401) return this.become("signin");
    const said = sentence(error.originalResponse?.getBody() ?? "");
    if (status === 404 || status === 410 || status === 403) return this.lookUp(said);
    this.become("failed", said || text("refused", { status }));
  }

  /** Whether the file is still there as it was chosen; a browser reports a changed one like a lost network. */
  async #readable() {
    const at = Math.min(this.sent, Math.max(0, this.total - 1));
    return this.file.slice(at, at + 1).arrayBuffer().then(() => true, () => false);
  }

  #wait() {
    this.become("offline");
    this.#timer = setTimeout(() => this.send(), Math.min(30000, 2000 * 2 ** this.#again++) * (0.75 + Math.random() / 2));
  }

  /** The network or the login is back: do not wait for the timer. */
  online() {
    if (this.state === "signin") this.file ? this.become("queued") : this.find();
    if (this.state !== "offline") return;
    this.#again = 0;
    this.#tus?.abort();
    this.send();
  }

  pause() {
    clearTimeout(this.#timer);
    this.#tus?.abort();
    this.become("paused");
  }

  finished() {
    this.sent = this.total;
    this.become("working");
    this.lookUp();
  }

  /** Ask how far the server has it: after a reload, or when another tab has let go. */
  async find() {
    clearTimeout(this.#timer);
    if (await memory.elsewhere(this.id)) {
      this.#timer = setTimeout(() => this.find(), 6000); // unless that tab tells more, see whether it still lives
      return this.become("elsewhere");
    }
    let answer;
    try {
      answer = await fetch(this.record.url, { method: "HEAD", headers: { "Tus-Resumable": "1.0.0", "Upload-Grant": this.record.grant } });
    } catch {
      this.#timer = setTimeout(() => this.find(), 5000);
      return this.become("choose", text("no-server"));
    }
    if (answer.status === 401) return this.become("signin");
    if (!answer.ok) return answer.status >= 500 ? (this.#timer = setTimeout(() => this.find(), 5000)) : this.lookUp();
    this.sent = Number(answer.headers.get("Upload-Offset"));
    if (this.sent >= this.total) return this.finished();
    this.state = ""; // the offset is news even when the state is not
    this.become("choose");
  }

  /** Go on with `file`, if it is the one that was begun; else say why not. */
  async attach(file) {
    const mark = this.record.mark && (await fingerprint(file).catch(() => ""));
    if (file.size !== this.total) return this.become("choose", text("other-size", { name: file.name }));
    if (mark ? mark !== this.record.mark : file.name !== this.record.file) return this.become("choose", text("other-file", { name: file.name }));
    this.file = file;
    this.#tus = null;
    this.become("queued");
  }

  /** Stop for good: the bytes sent so far go, the image's record stays. */
  async cancel(post) {
    clearTimeout(this.#timer);
    const working = this.state === "working";
    this.#tus?.abort();
    if (working) {
      await post(this.urls.cancel(this.record.image));
      return this.lookUp();
    }
    this.become("cancelled");
    await fetch(this.record.url, { method: "DELETE", headers: { "Tus-Resumable": "1.0.0", "Upload-Grant": this.record.grant } }).catch(() => {});
  }

  /** What became of the image, in the server's own words. */
  async lookUp(said = "") {
    let answer;
    try {
      answer = await fetch(this.urls.upload(this.record.image), { headers: { Accept: "application/json" } });
    } catch {
      return; // asked again by the next event or tick
    }
    if (answer.status === 401 || answer.redirected) return this.become("signin");
    if (answer.status === 404) return this.become("gone", text("gone"));
    if (!answer.ok) return;
    const { image, job } = await answer.json();
    this.judge(image, job, said);
  }

  judge(image, job, said = "") {
    this.job = job;
    if (image.status === "active" || image.status === "deactivated") return this.become("active");
    if (!job || (job.job !== this.record.job && image.status === "queued")) return this.become("gone", said || text("terminated"));
    if (job.status === "cancelled") return this.become("cancelled", said);
    if (job.status === "failed" || job.status === "errored") return this.become("failed", job.message || said);
    if (job.live && this.state !== "working" && this.sent >= this.total) return this.become("working");
    if (this.state === "working") return this.#changed();
    this.become("gone", said || text("terminated"));
  }

  /** A progress message from the live socket. */
  hear(message) {
    if (this.state !== "working") return;
    this.job = { ...this.job, ...message };
    if (["succeeded", "failed", "errored", "cancelled"].includes(message.status)) this.lookUp();
    this.#changed();
  }

  /** What another tab of the same person tells about it. */
  mirror({ state, sent }) {
    if (this.file && SENDING.has(this.state)) return;
    this.sent = Math.max(this.sent, sent);
    if (SENDING.has(state)) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.find(), 6000); // that tab has fallen silent
      if (this.state === "elsewhere") this.#changed();
      else this.become("elsewhere");
    } else if (!OVER.has(this.state)) this.lookUp();
  }
}
