/** A pasted checksum picked apart while it is typed; the server does the same when the form arrives, and decides. */

const ALGORITHMS = { 32: "md5", 64: "sha256", 128: "sha512" };
const BSD = /^(?<algo>[a-z0-9-]+)\s*\((?<name>.+)\)\s*=\s*(?<value>[0-9a-f]+)$/i;
const BARE = /^(?:(?:md5|sha256|sha512)\s*[:=]\s*)?(?<value>[0-9a-f]+)$/i;
const GNU = /^\\?(?<value>[0-9a-f]+)\s+[* ]?(?<name>\S.*)$/i;

const basename = (name) => name.replaceAll("\\", "/").split("/").pop();

/** The sums in `text`: a list of {algo, value, name}; algo is null when the length is that of no known sum. */
export function sums(text) {
  return text
    .split("\n")
    .map((line) => line.trim())
    .map((line) => (BSD.exec(line) ?? BARE.exec(line) ?? GNU.exec(line))?.groups)
    .filter(Boolean)
    .map((groups) => ({ algo: ALGORITHMS[groups.value.length] ?? null, value: groups.value.toLowerCase(), name: basename(groups.name ?? "") }));
}

/** The one that counts for the file `filename`, or null. */
export function sumFor(text, filename) {
  const all = sums(text);
  return all.length === 1 ? all[0] : (all.findLast((sum) => sum.name !== "" && sum.name === basename(filename)) ?? null);
}
