// The list of images: the whole page ticked at once, how many are selected, and menus placed where the browser cannot do it.
const vitrine = window.vitrine;
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// -- selecting -----------------------------------------------------------------------------------------------------
const boxes = () => $$("#image-table input[name=ids]");

function count() {
  const all = boxes();
  const chosen = all.filter((box) => box.checked).length;
  for (const words of $$(".bulk-count")) words.textContent = chosen ? words.dataset.words.replace("{n}", chosen) : "";
  for (const head of $$("[data-check-all]")) {
    head.checked = chosen > 0 && chosen === all.length;
    head.indeterminate = chosen > 0 && chosen < all.length;
  }
}

let last = null;
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-check-all]")) for (const box of boxes()) box.checked = event.target.checked;
  if (event.target.matches("[data-check-all], #image-table input[name=ids]")) count();
});
document.addEventListener("click", (event) => {
  const box = event.target.closest?.("#image-table input[name=ids]");
  if (!box) return;
  const all = boxes();
  if (event.shiftKey && all.includes(last)) {
    const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
    for (const one of all.slice(from, to + 1)) one.checked = box.checked;
    count();
  }
  last = box;
});
for (const name of ["htmx:afterSettle", "vitrine:page"]) document.addEventListener(name, () => setTimeout(count));

// The search box stands outside what is swapped: it keeps the cursor, and learns here when its words were cleared.
document.addEventListener("htmx:afterSettle", () => {
  const [box, table] = [document.querySelector("#image-q"), document.querySelector("#image-table")];
  if (box && table && document.activeElement !== box) box.value = table.dataset.q;
});

// A button of a question was taken, and its answer leads elsewhere: the question has done its part.
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.successful && detail.elt.closest("#modal") && !detail.target.closest("#modal")) vitrine.closeModal();
});

// -- the journey of one image --------------------------------------------------------------------------------------
document.addEventListener("vitrine:progress", ({ detail }) => {
  const step = document.querySelector(`[data-journey="${detail.job}"] .journey-step.now[data-step="${detail.stage}"] .step-bytes`);
  if (!step) return;
  const parts = [detail.total ? step.closest("ol").dataset.of.replace("{done}", vitrine.size(detail.done)).replace("{total}", vitrine.size(detail.total)) : vitrine.size(detail.done)];
  if (detail.rate > 0 && step.dataset.moving !== undefined) parts.push(`${vitrine.size(detail.rate)}/s`);
  step.textContent = detail.done || detail.total ? parts.join(" · ") : "";
});

// -- menus ---------------------------------------------------------------------------------------------------------
if (!CSS.supports("position-area", "bottom")) {
  document.addEventListener(
    "toggle",
    (event) => {
      const menu = event.target;
      if (event.newState !== "open" || !menu.matches?.(".menu-list[popover]")) return;
      const opener = document.querySelector(`[popovertarget="${CSS.escape(menu.id)}"]`).getBoundingClientRect();
      const left = menu.classList.contains("menu-end") ? opener.right - menu.offsetWidth : opener.left;
      const below = opener.bottom + 4 + menu.offsetHeight <= window.innerHeight;
      menu.style.inset = "auto";
      menu.style.left = `${Math.max(8, left)}px`;
      menu.style.top = `${below ? opener.bottom + 4 : Math.max(8, opener.top - 4 - menu.offsetHeight)}px`;
    },
    true,
  );
}
document.addEventListener("click", (event) => {
  // A link or a button of a menu has been used: the menu has done its part.
  const menu = event.target.closest?.(".menu-list[popover] a, .menu-list[popover] button")?.closest("[popover]");
  if (menu?.matches(":popover-open")) menu.hidePopover();
});

count();
vitrine.images = { count };
