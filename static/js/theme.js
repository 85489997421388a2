// Runs before the first paint, so that no page flashes in the wrong theme. What a person chose in this browser wins until
// their setting on the server changes.
(() => {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const THEMES = ["auto", "light", "dark"];
  let saved = {};
  try {
    saved = JSON.parse(localStorage.getItem("vitrine-theme") || "{}") || {};
  } catch {
    // No storage, or not ours: the server's setting is used.
  }
  const keep = () => {
    try {
      localStorage.setItem("vitrine-theme", JSON.stringify(saved));
    } catch {
      // Private windows may refuse; the choice then lasts as long as the page.
    }
  };
  const choice = () => (THEMES.includes(saved.choice) ? saved.choice : "auto");
  const apply = () => {
    const chosen = choice();
    root.dataset.themeChoice = chosen;
    root.dataset.bsTheme = chosen === "auto" ? (system.matches ? "dark" : "light") : chosen;
    document.dispatchEvent(new CustomEvent("vitrine:theme", { detail: { choice: chosen } }));
  };
  // `setting` is what the server keeps for this person; empty before sign-in.
  const follow = (setting) => {
    if (setting && saved.setting !== setting) {
      saved = { setting, choice: setting };
      keep();
    }
    apply();
  };
  const choose = (theme) => {
    saved = { ...saved, choice: theme };
    keep();
    apply();
  };
  root.classList.add("js");
  system.addEventListener("change", apply);
  window.addEventListener("storage", (event) => {
    if (event.key === "vitrine-theme" && event.newValue) {
      saved = JSON.parse(event.newValue);
      apply();
    }
  });
  window.vitrine = Object.assign(window.vitrine || {}, { theme: { choice, choose, follow } });
  follow(root.dataset.theme || "");
})();
