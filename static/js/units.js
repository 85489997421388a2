/** Figures and sentences as the whole site writes them; app.js, loaded before, knows how. */

/** 432013312 → "412 MiB". */
export const filesize = (bytes) => window.vitrine.size(bytes);

/** Bytes a second → "96 MiB/s". */
export const rate = (bytes) => `${filesize(bytes)}/s`;

/** 41 → "0:41". */
export const duration = (seconds) => window.vitrine.duration(seconds);

/** The translated sentence `key` that the page brought along in #upload-texts, its {fields} filled in. */
export function text(key, fields = {}) {
  const sentence = document.getElementById("upload-texts")?.content.querySelector(`[data-text="${key}"]`)?.textContent.trim() ?? key;
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => (name in fields ? String(fields[name]) : whole));
}
