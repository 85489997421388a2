// Menus of the frame, and the reasons of actions that are not possible: those stay reachable and say why.
const vitrine = window.vitrine;
const shown = () => document.querySelector(".dropdown-menu.show");
const buttonOf = (menu) => menu.parentElement.querySelector("[data-menu]");
const menuOf = (button) => button.parentElement.querySelector(".dropdown-menu");

function show(menu, yes) {
  menu.classList.toggle("show", yes);
  buttonOf(menu).setAttribute("aria-expanded", String(yes));
  if (yes) menu.dispatchEvent(new CustomEvent("menu:open"));
}
vitrine.closeMenus = () => shown() && show(shown(), false);

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-menu]");
  const current = shown();
  if (button) {
    event.preventDefault();
    const menu = menuOf(button);
    if (current) show(current, false);
    if (menu !== current) show(menu, true);
  } else if (current && (!current.contains(event.target) || event.target.closest("a, button"))) {
    show(current, false);
  }
});
document.addEventListener("focusout", (event) => {
  const current = shown();
  if (current && event.relatedTarget && current.contains(event.target) && !current.parentElement.contains(event.relatedTarget)) show(current, false);
});
document.addEventListener("keydown", (event) => {
  const button = event.target.closest?.("[data-menu]");
  const menu = shown() ?? (button && event.key === "ArrowDown" ? menuOf(button) : null);
  if (!menu || !["Escape", "ArrowDown", "ArrowUp"].includes(event.key)) return;
  event.preventDefault();
  if (event.key === "Escape") {
    show(menu, false);
    buttonOf(menu).focus();
    return;
  }
  if (!menu.classList.contains("show")) show(menu, true);
  walk(menu, event.key);
});
// Popover menus open, close and give the focus back by themselves; the arrows are ours.
document.addEventListener("keydown", (event) => {
  if (!["ArrowDown", "ArrowUp"].includes(event.key)) return;
  const menu = document.querySelector(".menu-list:popover-open");
  if (!menu || !event.target.closest?.(`#${CSS.escape(menu.id)}, [popovertarget="${menu.id}"]`)) return;
  event.preventDefault();
  walk(menu, event.key);
});

function walk(menu, key) {
  const items = [...menu.querySelectorAll("a, button")];
  const step = key === "ArrowDown" ? 1 : -1;
  const at = items.indexOf(document.activeElement);
  items.at(at < 0 ? (step > 0 ? 0 : -1) : (at + step) % items.length)?.focus();
}

// -- reasons -------------------------------------------------------------------------------------------------------
const tip = document.querySelector("#tip");
vitrine.explain = (element) => {
  if (!element.dataset.reason) return;
  tip.textContent = element.dataset.reason;
  tip.hidden = false;
  element.setAttribute("aria-describedby", "tip");
  const box = element.getBoundingClientRect();
  const above = box.top - tip.offsetHeight - 6;
  const middle = box.left + box.width / 2 - tip.offsetWidth / 2;
  tip.style.left = `${Math.max(8, Math.min(middle, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${above > 8 ? above : box.bottom + 6}px`;
};
const hide = () => (tip.hidden = true);
const reason = (event) => event.target.closest?.("[data-reason]");
for (const name of ["mouseover", "focusin"]) document.addEventListener(name, (event) => reason(event) && vitrine.explain(reason(event)));
for (const name of ["mouseout", "focusout"]) document.addEventListener(name, (event) => reason(event) && !reason(event).contains(event.relatedTarget) && hide());
document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
document.addEventListener("vitrine:page", hide);
