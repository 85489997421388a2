// The frame's behaviour: words, toasts, dialogs, the drawer, keys, and what htmx's answers mean. Everything is delegated
// from the document, because pages come and go. Other scripts use window.vitrine.
const vitrine = (window.vitrine = window.vitrine || {});
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// -- words ---------------------------------------------------------------------------------------------------------
const texts = Object.fromEntries($$("[data-key]", $("#texts").content).map((p) => [p.dataset.key, p.textContent]));
vitrine.text = (key, values = {}) => (texts[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
vitrine.size = (bytes) => {
  if (bytes === null || bytes === undefined) return "—";
  let power = 0;
  let value = bytes;
  while (value >= 1024 && power < UNITS.length - 1) {
    value /= 1024;
    power += 1;
  }
  const digits = power === 0 || value >= 100 || Number.isInteger(value) ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[power]}`;
};
vitrine.duration = (seconds) => {
  const all = Math.max(0, Math.round(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(all / 3600);
  const minutes = Math.floor((all % 3600) / 60);
  return hours ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
};
vitrine.announce = (text) => {
  $("#announce").textContent = text;
};

function ago(date) {
  const seconds = (Date.now() - date) / 1000;
  const days = Math.floor(seconds / 86400);
  if (seconds < 45) return vitrine.text("now");
  if (seconds < 3600) return vitrine.text("minutes", { n: Math.max(1, Math.round(seconds / 60)) });
  if (days < 1) return vitrine.text("hours", { n: Math.floor(seconds / 3600) });
  if (days < 2) return vitrine.text("yesterday");
  return days < 30 ? vitrine.text("days", { n: days }) : null; // older ones stand as a date
}
setInterval(() => {
  for (const time of $$("time[data-ago]")) {
    const text = ago(Date.parse(time.dateTime));
    if (text && text !== time.textContent) time.textContent = text;
  }
}, 20000);

// -- who asks ------------------------------------------------------------------------------------------------------
vitrine.csrf = () => JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
vitrine.project = () => $("#topbar-project")?.dataset.project ?? "";
vitrine.renewCsrf = function renewCsrf(html) {
  // A new login rotates the secret; each whole page carries the token that goes with it.
  const found = /hx-headers='(\{"X-CSRFToken": "[^"']+"\})'/.exec(html);
  if (found) document.body.setAttribute("hx-headers", found[1]);
};

// -- toasts --------------------------------------------------------------------------------------------------------
const icon = (name) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  const sprite = $("use")?.getAttribute("href").split("#")[0] ?? "";
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `${sprite}#${name}`);
  svg.append(use);
  return svg;
};
vitrine.icon = icon;

const ICONS = { success: "ok", info: "info", warning: "warning", danger: "bad" };
vitrine.toast = (text, level = "info") => {
  const kind = level === "error" ? "danger" : level in ICONS ? level : "info";
  const shelf = $("#toasts");
  for (const old of $$(".toast-card", shelf)) if (old.textContent === text) old.remove();
  const toast = document.createElement("div");
  const words = document.createElement("span");
  const close = document.createElement("button");
  toast.className = `toast-card toast-${kind}`;
  words.textContent = text;
  close.type = "button";
  close.className = "icon-button";
  close.setAttribute("aria-label", vitrine.text("close"));
  close.append(icon("close"));
  close.addEventListener("click", () => toast.remove());
  toast.append(icon(ICONS[kind]), words, close);
  shelf.append(toast);
  while (shelf.children.length > 4) shelf.firstElementChild.remove();
  // An error stays until it was read; the rest leaves by itself, but not from under the pointer or the focus.
  if (kind !== "danger") {
    const leave = () => (toast.matches(":hover, :focus-within") ? setTimeout(leave, 2000) : toast.remove());
    setTimeout(leave, 4000 + 60 * text.length);
  }
};
document.addEventListener("toast", (event) => vitrine.toast(event.detail.text ?? event.detail.value, event.detail.level));

function unpackMessages() {
  for (const note of $$(".messages [data-toast]")) vitrine.toast(note.textContent.trim(), note.dataset.level);
  $$(".messages").forEach((box) => box.remove());
}

// -- dialogs -------------------------------------------------------------------------------------------------------
let opener = null;
vitrine.openModal = (from = null) => {
  const modal = $("#modal");
  const title = $("h1, h2, .dialog-title", modal);
  opener = from ?? document.activeElement;
  if (title) title.id = "modal-title";
  if (!modal.open) modal.showModal();
  ($("[autofocus]", modal) ?? $("#modal-body input:not([type=hidden]), #modal-body textarea, #modal-body select", modal))?.focus();
};
vitrine.closeModal = () => $("#modal").open && $("#modal").close();
document.addEventListener("modal:close", vitrine.closeModal); // an answer may say HX-Trigger: modal:close

$("#modal").addEventListener("close", () => {
  $("#modal-body").replaceChildren();
  const back = opener?.isConnected ? opener : opener?.id ? document.getElementById(opener.id) : null;
  (back ?? $("#page")).focus({ preventScroll: true });
  opener = null;
});
for (const dialog of $$("dialog")) {
  // A press that begins and ends on the backdrop closes; a text selection that slips outside does not.
  let pressed = false;
  dialog.addEventListener("pointerdown", (event) => (pressed = event.target === dialog));
  dialog.addEventListener("click", (event) => {
    if ((pressed && event.target === dialog) || event.target.closest("[data-close]")) dialog.close();
  });
}

vitrine.confirm = ({ title, text = "", action, danger = true }) =>
  new Promise((resolve) => {
    const dialog = $("#confirm");
    const yes = $("#confirm-yes");
    $("#confirm-title").textContent = title || vitrine.text("confirm");
    $("#confirm-text").textContent = text;
    yes.textContent = action || vitrine.text("go-on");
    yes.classList.toggle("btn-danger", danger);
    yes.classList.toggle("btn-primary", !danger);
    dialog.returnValue = "no";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
  });
const question = (element) => ({
  title: element.dataset.confirmTitle,
  text: element.getAttribute("hx-confirm") ?? element.dataset.confirm,
  action: element.dataset.confirmAction,
  danger: element.dataset.confirmDanger !== "false",
});
document.addEventListener("htmx:confirm", (event) => {
  const asked = event.detail.question ?? event.target.dataset?.confirm;
  if (!asked) return;
  event.preventDefault();
  vitrine.confirm({ ...question(event.target), text: asked }).then((yes) => yes && event.detail.issueRequest(true));
});
// A form with data-modal shows its answer in the dialog: many selected rows, one question.
document.addEventListener(
  "submit",
  (event) => {
    const form = event.target;
    if (!form.matches("form[data-modal]")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    opener = event.submitter;
    const values = {};
    for (const [name, value] of new FormData(form, event.submitter)) values[name] = [...(values[name] ?? []), value];
    window.htmx.ajax(form.method.toUpperCase(), form.action, { target: "#modal-body", values });
  },
  true,
);
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.confirm || form.matches("[hx-post], [hx-delete], [hx-boost=true]") || form.closest("[hx-boost=true]")) return;
  event.preventDefault();
  vitrine.confirm(question(form)).then((yes) => yes && form.submit());
});

// -- clicks --------------------------------------------------------------------------------------------------------
document.addEventListener(
  "click",
  (event) => {
    const off = event.target.closest?.("[aria-disabled=true]");
    if (off) {
      event.preventDefault();
      event.stopImmediatePropagation();
      vitrine.explain(off);
      return;
    }
    const link = event.target.closest?.("a[data-modal], button[data-modal]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const url = link.getAttribute("hx-get") ?? link.getAttribute("href") ?? link.dataset.modal;
    const back = link.closest(".dropdown")?.querySelector("[data-menu]") ?? $(`[popovertarget="${link.closest("[popover]")?.id}"]`) ?? link;
    vitrine.closeMenus();
    opener = back;
    window.htmx.ajax("GET", url, { target: "#modal-body" });
  },
  true,
);

async function copy(button) {
  const from = button.dataset.copy || $(button.dataset.copyFrom)?.textContent.trim() || "";
  try {
    await navigator.clipboard.writeText(from);
    button.classList.add("copied");
    vitrine.announce(vitrine.text("copied"));
    setTimeout(() => button.classList.remove("copied"), 1500);
  } catch {
    vitrine.toast(vitrine.text("copy-failed"), "warning");
  }
}
function drawer(open) {
  const sidebar = $("#sidebar");
  if (!sidebar || open === document.body.classList.contains("drawer-open")) return;
  document.body.classList.toggle("drawer-open", open);
  $("[data-drawer]").setAttribute("aria-expanded", String(open));
  $("[data-drawer-close]").hidden = !open;
  // Everything else is inert while the drawer is open: focus stays in it.
  for (const other of [$("#page"), $(".topbar"), $("#upload-tray")]) other?.toggleAttribute("inert", open);
  (open ? $("a", sidebar) : $("[data-drawer]"))?.focus();
}
document.addEventListener("click", (event) => {
  const on = (selector) => event.target.closest?.(selector);
  if (on("[data-copy], [data-copy-from]")) copy(on("[data-copy], [data-copy-from]"));
  if (on("[data-theme-set]")) vitrine.theme.choose(on("[data-theme-set]").dataset.themeSet);
  if (on("[data-drawer]")) drawer(true);
  if (on("[data-drawer-close]") || on("#sidebar a")) drawer(false);
  if (on("[data-keys]")) $("#keys").showModal();
  if (on("[data-search]")) focusSearch();
});
window.matchMedia("(min-width: 900px)").addEventListener("change", () => drawer(false));

// -- keys ----------------------------------------------------------------------------------------------------------
function focusSearch() {
  document.body.classList.add("searching");
  $("#search")?.focus();
  $("#search")?.select();
}
$("#search")?.addEventListener("blur", () => document.body.classList.remove("searching"));
let chord = 0;
const typing = (target) => target.closest?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable], dialog");
const visit = (url, push) => window.htmx.ajax("GET", url, { source: $(".brand"), target: "#page", select: "#page", swap: "outerHTML", push });
const go = (name) => {
  const url = $(".topbar")?.dataset[name];
  if (url) visit(url, url);
};
vitrine.reload = () => visit(location.pathname + location.search);
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && $("#search")) {
    event.preventDefault();
    focusSearch();
    return;
  }
  if (event.key === "Escape") {
    if (document.body.classList.contains("drawer-open")) drawer(false);
    if (event.target.id === "search") event.target.blur();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const second = Date.now() - chord < 1200;
  chord = 0;
  const act = second ? { i: () => go("images"), w: () => go("work") }[event.key] : SINGLE[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});
const SINGLE = {
  "/": () => ($("#page [data-filter], #page input[type=search]") ? $("#page [data-filter], #page input[type=search]").focus() : focusSearch()),
  "?": () => $("#keys").showModal(),
  c: () => go("create"),
  g: () => (chord = Date.now()),
};

// -- htmx: what a request and its answer mean for the frame --------------------------------------------------------
const PAGE = "#page";
let waiting = null;
document.addEventListener("htmx:beforeRequest", (event) => {
  const { elt, boosted, requestConfig } = event.detail;
  const button = requestConfig?.triggeringEvent?.submitter ?? (elt.matches("button, .btn") ? elt : null);
  if (button) {
    button.setAttribute("aria-busy", "true");
    event.detail.xhr.addEventListener("loadend", () => button.removeAttribute("aria-busy"));
  }
  if (boosted || elt.classList.contains("brand")) waiting = setTimeout(() => ($("#loading").hidden = false), 250);
});
document.addEventListener("htmx:afterRequest", () => {
  clearTimeout(waiting);
  $("#loading").hidden = true;
});
document.addEventListener("htmx:beforeOnLoad", (event) => {
  const { xhr } = event.detail;
  if (xhr.status !== 401) return;
  event.preventDefault();
  vitrine.signedOut(xhr.getResponseHeader("HX-Redirect"));
});
document.addEventListener("htmx:beforeSwap", (event) => {
  const detail = event.detail;
  const { xhr, elt } = detail.requestConfig ? { xhr: detail.xhr, elt: detail.requestConfig.elt } : detail;
  const whole = /<main id="page"/.test(detail.serverResponse);
  if (whole) vitrine.renewCsrf(detail.serverResponse);
  // An error in place of a page is a page too.
  if (whole && xhr.status >= 400 && (detail.boosted || elt.matches(".brand"))) detail.shouldSwap = true;
  // A boosted answer is a whole page; its #page replaces ours, and what lies outside (the uploads) lives on.
  if (detail.boosted && !elt.closest("[hx-target]")) {
    detail.target = $(PAGE);
    detail.selectOverride = PAGE;
    detail.swapOverride = "outerHTML show:window:top";
    if (!whole && detail.shouldSwap) {
      event.preventDefault();
      location.assign(xhr.responseURL || location.href);
    }
  }
  if (elt?.closest?.("#modal") && xhr.status < 400 && !detail.target.closest("#modal")) vitrine.closeModal();
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.id === "modal-body") vitrine.openModal(opener);
});
document.addEventListener("htmx:afterSettle", (event) => settled(event.detail.boosted || event.target.id === "page"));
document.addEventListener("htmx:historyRestore", () => settled(true));
function settled(moved) {
  if (moved) $$(".toast-danger").forEach((old) => old.remove()); // an error belongs to the page it happened on
  unpackMessages();
  if (!moved) return;
  vitrine.theme.follow($("#topbar-project")?.dataset.theme);
  for (const link of $$("#nav a")) {
    // Going back restores the page but not the bar beside it.
    const here = location.pathname === link.pathname || location.pathname.startsWith(link.pathname.replace(/\/?$/, "/"));
    here ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  if (!document.activeElement?.matches("body *:not(#search)")) $(PAGE).focus({ preventScroll: true });
  document.dispatchEvent(new CustomEvent("vitrine:page"));
}
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.id !== "bell") return;
  const bell = $("#bell");
  const count = Number($("[data-count]", bell)?.dataset.count ?? $$("[data-job]", bell).length);
  $("#bell-count").textContent = count > 99 ? "99+" : count;
  $("#bell-count").hidden = !count;
});

function sentence(xhr) {
  const type = xhr.getResponseHeader("Content-Type") ?? "";
  if (type.includes("json")) {
    const body = JSON.parse(xhr.responseText || "{}");
    return body.message ?? body.error?.message ?? body.detail ?? Object.values(body)[0]?.message;
  }
  if (type.includes("html")) {
    const page = new DOMParser().parseFromString(xhr.responseText, "text/html");
    return $("[data-toast], .error-message", page)?.textContent.trim();
  }
  return xhr.responseText.length < 300 ? xhr.responseText : "";
}
document.addEventListener("htmx:responseError", (event) => {
  const { xhr, elt } = event.detail;
  if (elt.matches("[data-refresh], #bell") || /"?toast/.test(xhr.getResponseHeader("HX-Trigger") ?? "")) return;
  vitrine.toast(sentence(xhr) || vitrine.text("error", { status: xhr.status }), "danger");
});
document.addEventListener("htmx:sendError", (event) => {
  if (!event.detail.elt.matches("[data-refresh], #bell")) vitrine.toast(vitrine.text("offline"), "danger");
});

// -- the login ended -----------------------------------------------------------------------------------------------
vitrine.signedOut = (url) => {
  const banner = $("#signed-out");
  const login = url || `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  if (!$("#upload-tray :is([data-state=sending], [data-state=queued], [data-state=paused], [data-state=offline])") && url) {
    location.assign(url);
    return;
  }
  const link = document.createElement("a");
  link.href = login;
  link.target = "_blank"; // beside this page, so that running uploads go on
  link.rel = "opener";
  link.className = "btn btn-sm btn-primary";
  link.textContent = vitrine.text("sign-in");
  banner.replaceChildren(icon("warning"), vitrine.text($("#upload-tray [data-state=sending]") ? "signed-out-sending" : "signed-out"), link);
  banner.hidden = false;
  document.dispatchEvent(new CustomEvent("vitrine:auth", { detail: { signedIn: false } }));
};
vitrine.signedIn = () => {
  if ($("#signed-out").hidden) return;
  $("#signed-out").hidden = true;
  vitrine.reload();
};

unpackMessages();
