/** Figures as people read them, in the same words as the server's `filesize`, `rate` and `duration`. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** 432013312 → "412 MiB". */
export function filesize(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits).replace(/\.0$/, "")} ${UNITS[unit]}`;
}

/** Bytes a second → "96 MiB/s". */
export const rate = (bytes) => `${filesize(bytes)}/s`;

/** 41 → "0:41", 3700 → "1:01:40". */
export function duration(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** The translated sentence `key` that the page brought along in #upload-texts, its {fields} filled in. */
export function text(key, fields = {}) {
  const sentence = document.getElementById("upload-texts")?.content.querySelector(`[data-text="${key}"]`)?.textContent.trim() ?? key;
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => (name in fields ? String(fields[name]) : whole));
}
