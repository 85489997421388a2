/**
 * The source part of the forms that give an image its bytes: choose or drop files, see what they are, have the server
 * judge them before the first byte, and hand them to the upload tray.
 */

import { recognise } from "./format.js";
import { sums, sumFor } from "./checksum.js";
import { filesize, text } from "./units.js";

const GIB = 2 ** 30;
const STEM = /\.(qcow2?|vmdk|vdi|vhdx?|vpc|iso|raw|luks|img|bin)$/i;

export class SourceForm {
  #cards = new Map(); // file card element → {file, seen, problem}
  #asked = 0;
  #together = "";
  #sending = false;

  constructor(form, { post, follow, add, login }) {
    Object.assign(this, { form, post, follow, add, login });
    form.dataset.ready = "yes";
    this.chooser = form.querySelector("[data-chooser]");
    this.list = form.querySelector("[data-cards]");
    this.submit = form.querySelector("[data-submit]");
    this.why = form.querySelector("[data-why]");
    form.querySelector("[data-file-source]").hidden = false;
    form.querySelector("[data-no-script]").remove();
    this.#listen();
    this.#weigh();
    this.#choose([...this.chooser.files]); // chosen while this script was on its way
  }

  get fromFiles() {
    return this.form.elements.source.value === "file";
  }

  #listen() {
    const { form, chooser } = this;
    chooser.addEventListener("change", () => {
      this.#choose([...chooser.files]);
      chooser.value = ""; // so that the same file can be chosen again after it was removed
    });
    const zone = form.querySelector("[data-drop]");
    for (const kind of ["dragenter", "dragover"]) {
      zone.addEventListener(kind, (event) => {
        event.preventDefault();
        zone.classList.add("is-over");
      });
    }
    zone.addEventListener("dragleave", (event) => zone.contains(event.relatedTarget) || zone.classList.remove("is-over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("is-over");
      this.#choose([...event.dataTransfer.files]);
    });
    form.addEventListener("input", (event) => this.#typed(event.target));
    form.addEventListener("change", (event) => this.#changed(event.target));
    // Before htmx, which listens on the form itself.
    form.parentElement.addEventListener("submit", (event) => event.target === form && this.#submitted(event), { capture: true });
  }

  #typed(field) {
    field.classList?.remove("is-invalid");
    if (field.name === "min_disk") delete field.dataset.proposed;
    if (field.name === "checksum") this.#explainSum();
  }

  #changed(field) {
    if (field.name === "disk_format") this.#cards.forEach((card, element) => this.#describe(element, card));
    if (field.name === "target_format") this.#ask();
    if (["source", "disk_format", "url"].includes(field.name)) this.#weigh();
  }

  async #choose(files) {
    if (!files.length) return;
    if (!this.chooser.multiple) {
      this.#cards.clear();
      this.list.replaceChildren();
    }
    for (const file of this.chooser.multiple ? files : files.slice(0, 1)) {
      const element = document.getElementById("create-card").content.firstElementChild.cloneNode(true);
      element.querySelector("[data-file]").textContent = file.name;
      const name = element.querySelector("[data-card-name]");
      if (name) name.value = file.name.replace(STEM, "");
      const remove = element.querySelector("[data-remove]");
      remove.setAttribute("aria-label", text("remove", { name: file.name }));
      remove.addEventListener("click", () => this.#remove(element));
      const card = { file, seen: null, problem: "" };
      this.#cards.set(element, card);
      this.list.append(element);
      this.#weigh();
      try {
        card.seen = await recognise(file, file.name);
      } catch {
        card.problem = text("unreadable"); // a folder, or a file that was moved since
      }
      this.#describe(element, card);
    }
    this.#proposeDisk();
    this.#explainSum();
    this.#ask();
  }

  #remove(element) {
    this.#cards.delete(element);
    element.remove();
    this.#proposeDisk();
    this.#ask();
    this.chooser.focus();
  }

  #describe(element, card) {
    const { seen, file } = card;
    const chosen = this.form.elements.disk_format.value;
    const format = chosen || seen?.format;
    element.querySelector("[data-tile]").textContent = (seen?.format ?? seen?.packed ?? "?").slice(0, 5);
    element.querySelector("[data-facts]").textContent = facts(seen, file);
    const warnings = [];
    if (seen?.disagrees) warnings.push(text("suffix", { suffix: seen.disagrees.suffix, format: name(seen.packed ?? seen.format) }));
    if (seen && chosen && seen.format && chosen !== seen.format) warnings.push(text("override", { chosen: name(chosen), format: name(seen.format) }));
    if (seen?.format === "raw" && !seen.certain && !chosen) warnings.push(text("unsure"));
    fill(element.querySelector("[data-warnings]"), warnings);
    if (seen) card.problem = unusable(seen, format);
    this.#complain(element, card.problem);
    this.#weigh();
  }

  #complain(element, problem) {
    fill(element.querySelector("[data-problem]"), problem ? [problem] : []);
    element.classList.toggle("is-refused", Boolean(problem));
  }

  /** The smallest disk a guest needs, from the disk in the file, unless the person has typed one. */
  #proposeDisk() {
    const field = this.form.elements.min_disk;
    if (!field || (field.value && !field.dataset.proposed)) return;
    const disks = [...this.#cards.values()].map(minDisk);
    field.value = disks.length === 1 && disks[0] ? String(disks[0]) : "";
    field.placeholder = disks.length > 1 ? text("each-own") : "0";
    field.dataset.proposed = "yes";
  }

  #explainSum() {
    const hint = this.form.querySelector("[data-sum]");
    const value = this.form.elements.checksum.value.trim();
    const [first] = this.#cards.values();
    const sum = value && (first ? sumFor(value, first.file.name) : sums(value)[0]);
    hint.textContent = !value ? "" : sum?.algo ? text("sum", { algo: sum.algo }) : text("no-sum");
    hint.dataset.tone = value && !sum?.algo ? "warn" : "";
  }

  /** Pre-flight: would the server take these? Asked anew whenever an answer could change. */
  async #ask() {
    const asked = ++this.#asked;
    const cards = [...this.#cards].filter(([, card]) => !card.problem || card.refused);
    this.#together = "";
    if (!cards.length) return this.#weigh();
    const query = new URLSearchParams({ target_format: this.form.elements.target_format?.value ?? "" });
    for (const [, card] of cards) {
      query.append("size", card.file.size);
      query.append("virtual_size", card.seen?.virtualSize ?? "");
    }
    let answer;
    try {
      const response = await fetch(`${this.form.dataset.preflight}?${query}`, { headers: { Accept: "application/json" } });
      answer = response.ok ? await response.json() : null;
    } catch {
      answer = null; // the server will judge when the form is sent
    }
    if (asked !== this.#asked || !answer) return;
    cards.forEach(([element, card], i) => {
      card.problem = (answer.files[i] ?? []).join(" ");
      card.refused = Boolean(card.problem);
      this.#complain(element, card.problem);
    });
    this.#together = answer.together.join(" ");
    this.#weigh();
  }

  /** May the form be sent, and if not, why. */
  #weigh() {
    const cards = [...this.#cards.values()];
    const refused = cards.filter((card) => card.problem).length;
    let why = "";
    if (this.fromFiles && !cards.length) why = text("no-file");
    else if (this.fromFiles && cards.some((card) => !card.seen && !card.problem)) why = text("looking");
    else if (this.fromFiles && this.#together) why = this.#together;
    else if (this.fromFiles && refused) why = cards.length === 1 ? cards[0].problem : text("some-refused", { count: refused });
    this.why.textContent = why;
    this.submit.disabled = this.#sending || why !== "";
  }

  async #submitted(event) {
    if (!this.fromFiles) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (this.submit.disabled) return;
    this.#sending = true;
    this.#weigh();
    this.#forgive();
    let failed = null;
    for (const [element, card] of [...this.#cards]) {
      const answer = await this.#make(element, card);
      if (answer.ok) {
        this.#cards.delete(element);
        element.remove();
        this.next = answer.next;
        this.made ??= answer.image.id;
      } else {
        failed ??= answer;
        if (answer.status === 401) this.#signedOut(element);
        else this.#complain(element, answer.errors?.[""]?.join(" ") ?? answer.message);
        element.scrollIntoView({ block: "nearest" });
      }
    }
    this.#sending = false;
    if (!failed) {
      // Once the page has scrolled to its top. On another page of the list, or filtered away: then the newest come first.
      const show = () => reveal(this.made) || this.follow(`${document.querySelector(".topbar").dataset.images}?sort=-updated`);
      document.addEventListener("vitrine:page", () => setTimeout(show), { once: true });
      return this.follow(this.next);
    }
    this.#mark(failed.errors ?? {});
    this.#weigh();
  }

  /** One image for one file: the record on the server first, then the bytes through the tray. */
  async #make(element, card) {
    const fields = Object.fromEntries(new FormData(this.form));
    fields.filename = card.file.name;
    fields.length = String(card.file.size);
    fields.disk_format ||= card.seen?.format ?? "raw";
    const own = element.querySelector("[data-card-name]");
    if (own) fields.name = own.value;
    if (this.form.elements.min_disk && !fields.min_disk) fields.min_disk = String(minDisk(card) ?? 0);
    delete fields.csrfmiddlewaretoken;
    const answer = await this.post(this.form.action, fields);
    if (answer.ok) {
      const again = Object.fromEntries(["source", "filename", "length", "disk_format", "target_format", "checksum"].map((k) => [k, fields[k] ?? ""]));
      this.add(card.file, { form: again, facts: facts(card.seen, null) }, answer);
    }
    return answer;
  }

  /** The login has ended: say how to go on without losing what is typed and chosen here. */
  #signedOut(element) {
    this.#complain(element, text("login-ended", { button: this.submit.textContent.trim() }));
    const link = Object.assign(document.createElement("a"), { href: this.login, target: "_blank", textContent: text("sign-in") });
    element.querySelector("[data-problem] p").append(" ", link);
  }

  #forgive() {
    for (const feedback of this.form.querySelectorAll(".js-feedback")) feedback.remove();
    for (const field of this.form.querySelectorAll(".is-invalid")) {
      field.classList.remove("is-invalid");
      field.removeAttribute("aria-invalid");
    }
  }

  /** What the server found wrong, beside the fields; the first one gets the focus. */
  #mark(wrong) {
    let first = null;
    for (const [name, messages] of Object.entries(wrong)) {
      const named = name && this.form.elements[name];
      const field = named instanceof RadioNodeList ? named[0] : named;
      if (!field || field.type === "hidden") continue;
      field.classList.add("is-invalid");
      field.setAttribute("aria-invalid", "true");
      const feedback = document.createElement("div");
      feedback.className = "invalid-feedback js-feedback d-block";
      feedback.textContent = messages.join(" ");
      (field.closest("fieldset.choices, .mb-3") ?? field.parentElement).append(feedback);
      first ??= field;
    }
    first?.closest("details")?.setAttribute("open", "");
    first?.focus();
  }
}

const name = (format) => (format ?? "").toUpperCase();

function fill(box, lines) {
  box.replaceChildren(...lines.map((line) => Object.assign(document.createElement("p"), { textContent: line })));
  box.hidden = lines.length === 0;
}

/** "QCOW2 · 5 GiB virtual · 468 MiB". */
function facts(seen, file) {
  const parts = [];
  if (seen?.packed) parts.push(text("packed", { kind: seen.packed }));
  else if (seen?.format) parts.push(name(seen.format));
  if (seen?.virtualSize && seen.format !== "iso") parts.push(text("virtual", { size: filesize(seen.virtualSize) }));
  if (file) parts.push(text("file-size", { size: filesize(file.size) }));
  return parts.join(" · ");
}

function minDisk({ seen }) {
  return seen?.virtualSize && seen.format !== "iso" ? Math.ceil(seen.virtualSize / GIB) : null;
}

/** Why a file will not do, as far as the browser can tell; empty when it may. */
function unusable(seen, format) {
  if (seen.size === 0) return text("empty");
  if (seen.note) return text(`note-${seen.note}`);
  if (seen.packed && !format) return text("note-packed", { kind: seen.packed });
  return "";
}

/** Bring the row of a new image into sight, wherever the list's order puts it; false when the page has none. */
function reveal(image) {
  const row = document.getElementById(`image-${image}`);
  row?.scrollIntoView({ block: "center" });
  row?.classList.add("flash");
  return row !== null;
}
