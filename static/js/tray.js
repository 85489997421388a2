/** The upload tray's drawing: one item per file, the same on every page. Knows transfers only by what they show. */

import { OVER, SENDING } from "./transfer.js";
import { duration, filesize, rate, text } from "./units.js";

/** Which buttons an upload in a state offers; "choose" is the file chooser. */
const BUTTONS = {
  queued: ["pause", "cancel"],
  sending: ["pause", "cancel"],
  paused: ["resume", "cancel"],
  offline: ["resume", "cancel"],
  choose: ["choose", "cancel"],
  elsewhere: [],
  signin: ["signin"],
  working: ["cancel"],
  active: ["dismiss"],
  failed: ["retry", "source", "throw-away", "dismiss"],
  cancelled: ["retry", "source", "throw-away", "dismiss"],
  gone: ["dismiss"],
};
const TONE = { failed: "bad", gone: "bad", cancelled: "warn", paused: "warn", offline: "warn", choose: "warn", signin: "warn", active: "ok" };

export class Tray {
  #items = new Map();

  /** `act(name, transfer, input)` is called for a pressed button. */
  constructor(root, act) {
    this.root = root;
    this.list = root.querySelector("[data-uploads]");
    this.toggle = root.querySelector("[data-toggle]");
    this.heading = root.querySelector("[data-heading]");
    this.announcer = root.querySelector("[data-announce]");
    this.act = act;
    this.toggle.addEventListener("click", () => this.open(this.toggle.getAttribute("aria-expanded") !== "true"));
    root.querySelector("[data-clear]").addEventListener("click", () => act("clear"));
    this.open(matchMedia("(width >= 700px)").matches);
    root.addEventListener("keydown", (event) => event.key === "Escape" && this.open(false));
  }

  /** Show the files or only the head. `byItself`: nobody asked; on a phone, where it would cover the page, it stays a bar. */
  open(yes, { byItself = false } = {}) {
    if (byItself && !matchMedia("(width >= 700px)").matches) return;
    this.toggle.setAttribute("aria-expanded", String(yes));
    this.root.classList.toggle("is-closed", !yes);
  }

  show(transfer) {
    const item = document.getElementById("upload-item").content.firstElementChild.cloneNode(true);
    const name = transfer.record.name || transfer.record.file;
    item.dataset.upload = transfer.id;
    const link = item.querySelector("[data-name]");
    link.textContent = name;
    link.href = transfer.urls.detail(transfer.record.image);
    item.querySelector("progress").setAttribute("aria-label", text("progress-of", { name }));
    item.querySelector('[data-act="source"]').href = transfer.urls.upload(transfer.record.image);
    item.querySelector('[data-act="signin"]').href = `${transfer.urls.login}?next=${encodeURIComponent(location.pathname)}`;
    for (const button of item.querySelectorAll("button[data-act]")) {
      button.title ||= button.getAttribute("aria-label") ?? "";
      button.addEventListener("click", () => this.#press(button.dataset.act, transfer, item));
    }
    const chooser = item.querySelector('input[type="file"]');
    chooser.addEventListener("change", () => chooser.files[0] && this.act("choose", transfer, chooser.files[0]));
    this.#items.set(transfer, { item, state: null });
    this.list.append(item);
    window.htmx?.process(item); // its links change the page beside the tray, not the whole document
    this.draw(transfer);
  }

  remove(transfer) {
    const shown = this.#items.get(transfer);
    if (!shown) return;
    const hadFocus = shown.item.contains(document.activeElement);
    shown.item.remove();
    this.#items.delete(transfer);
    this.#summary();
    if (hadFocus && this.#items.size) this.toggle.focus();
  }

  /** Cancelling throws bytes away, so it asks once more, in place. */
  #press(name, transfer, item) {
    const question = item.querySelector("[data-question]");
    if (name === "cancel" && !OVER.has(transfer.state)) {
      question.querySelector("p").textContent =
        transfer.state === "working" ? text("ask-stop") : text("ask-cancel", { sent: filesize(transfer.sent) });
      question.hidden = false;
      question.querySelector('[data-act="keep"]').focus();
    } else if (name === "keep" || name === "sure") {
      question.hidden = true;
      item.querySelector('[data-act="cancel"]').focus();
      if (name === "sure") this.act("cancel", transfer);
    } else this.act(name, transfer);
  }

  draw(transfer) {
    const shown = this.#items.get(transfer);
    if (!shown) return;
    const { item } = shown;
    const { label, figures, note, value } = describe(transfer);
    item.dataset.tone = TONE[transfer.state] ?? "";
    item.querySelector("[data-figures]").textContent = [label, figures].filter(Boolean).join(" · ");
    item.querySelector("[data-note]").textContent = note;
    drawBar(item.querySelector("progress"), value, transfer.state);
    if (shown.state !== transfer.state) this.#entered(transfer, shown, label, note);
    this.#summary();
  }

  #entered(transfer, shown, label, note) {
    const { item } = shown;
    const focused = item.contains(document.activeElement) ? document.activeElement : null;
    const wanted = BUTTONS[transfer.state] ?? [];
    for (const control of item.querySelectorAll("[data-act]")) {
      if (!control.closest("[data-question]")) control.hidden = !wanted.includes(control.dataset.act);
    }
    item.querySelector("[data-question]").hidden = true;
    item.dataset.state = transfer.state;
    // A pressed button that has gone leaves the focus on the one that took its place.
    if (focused && focused.closest("[hidden]")) item.querySelector("[data-actions] [data-act]:not([hidden])")?.focus();
    if (shown.state !== null || OVER.has(transfer.state)) {
      this.announcer.textContent = `${transfer.record.name || transfer.record.file}: ${label}. ${OVER.has(transfer.state) ? note : ""}`;
    }
    shown.state = transfer.state;
  }

  #summary() {
    const states = [...this.#items.keys()].map((transfer) => transfer.state);
    this.root.hidden = states.length === 0;
    const going = states.filter((state) => SENDING.has(state) || state === "working" || state === "elsewhere").length;
    const waiting = states.filter((state) => state === "choose" || state === "signin").length;
    const sending = [...this.#items.keys()].filter((transfer) => SENDING.has(transfer.state));
    const [sent, total] = sending.reduce(([a, b], transfer) => [a + transfer.sent, b + transfer.total], [0, 0]);
    const percent = total ? ` · ${Math.min(99, Math.floor((sent * 100) / total))} %` : "";
    const failed = states.filter((state) => state === "failed").length;
    let words = text(failed ? "failed" : "finished", { count: failed });
    if (waiting) words = text("unfinished", { count: waiting });
    if (going) words = text(going === 1 ? "one-upload" : "uploads", { count: going });
    if (this.heading.textContent !== words + percent) this.heading.textContent = words + percent;
    this.root.querySelector("[data-clear]").hidden = !states.some((state) => OVER.has(state));
    document.body.classList.toggle("has-uploads", states.length > 0);
  }
}

function drawBar(bar, value, state) {
  bar.hidden = state === "active" || state === "gone";
  if (value === null) bar.removeAttribute("value");
  else bar.value = value;
}

/** The words and figures of an upload: {label, figures, note, value in per cent or null}. */
function describe(transfer) {
  const percent = transfer.total ? Math.min(99, Math.floor((transfer.sent * 100) / transfer.total)) : 0;
  const amount = text("sent-of", { sent: filesize(transfer.sent), total: filesize(transfer.total) });
  const facts = transfer.record.facts ? ` · ${transfer.record.facts}` : "";
  const sent = { label: text(`state-${transfer.state}`), figures: "", note: transfer.reason || amount + facts, value: percent };
  if (transfer.state === "sending") {
    const left = transfer.secondsLeft;
    const figures = [`${percent} %`, transfer.rate ? rate(transfer.rate) : "", left === null ? "" : text("left", { time: duration(left) })];
    return { ...sent, label: "", figures: figures.filter(Boolean).join(" · ") };
  }
  if (transfer.state === "paused" || transfer.state === "elsewhere") return { ...sent, figures: `${percent} %` };
  if (transfer.state === "offline") return { ...sent, note: text("resumes-from", { sent: filesize(transfer.sent) }) };
  if (transfer.state === "choose") {
    return { ...sent, note: [transfer.reason, text("choose-again", { file: transfer.record.file, sent: filesize(transfer.sent) })].filter(Boolean).join(" ") };
  }
  if (transfer.state === "working") return work(transfer, sent);
  return { ...sent, note: transfer.reason || (transfer.state === "active" ? filesize(transfer.total) + facts : amount), value: percent };
}

function work({ job }, sent) {
  if (!job) return { ...sent, label: text("state-working"), value: null };
  const percent = typeof job.percent === "number" ? job.percent : null;
  const note = job.steps ? text("step", { step: job.step ?? 1, steps: job.steps }) : sent.note;
  return { label: job.label || text("state-working"), figures: window.vitrine.live.figures(job), note, value: percent };
}
