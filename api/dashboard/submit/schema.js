// What a field of the form is, by the document's JSON schema. Pure.

/** @typedef {{kind: "text" | "number" | "bool" | "choice" | "object" | "union" | "words" | "yaml", help: string, given: any,
 *   choices?: any[], fields?: [string, any][], needed?: string[], tag?: string, options?: Record<string, any>, low?: number, high?: number}} Shape */

/** Return a schema without references and without "or null".
 * @param {any} schema
 * @param {any} root
 * @returns {any} */
export function plain(schema, root) {
  const { $ref, anyOf, ...own } = schema;
  if ($ref) return plain({ ...root.$defs[$ref.split("/").pop()], ...own }, root);
  const real = anyOf?.filter((s) => s.type !== "null");
  return real?.length === 1 ? plain({ ...real[0], ...own }, root) : schema;
}

/** Return what a field is.
 * @param {any} given a schema
 * @param {any} root
 * @returns {Shape} */
export function shape(given, root) {
  const schema = plain(given, root);
  /** @type {{help: string, given: any}} */
  const about = { help: schema.description ?? "", given: schema.default };
  if (schema.enum) return { ...about, kind: "choice", choices: schema.enum };
  if (schema.const !== undefined) return { ...about, kind: "choice", choices: [schema.const] };
  if (schema.type === "boolean") return { ...about, kind: "bool" };
  if (schema.type === "integer" || schema.type === "number") return { ...about, kind: "number", low: schema.minimum, high: schema.maximum };
  if (schema.type === "string") return { ...about, kind: "text" };
  if (schema.properties) return { ...about, kind: "object", fields: Object.entries(schema.properties), needed: schema.required ?? [] };
  if (schema.oneOf && schema.discriminator) {
    const { propertyName, mapping } = schema.discriminator;
    const options = Object.fromEntries(Object.entries(mapping).map(([name, $ref]) => [name, { $ref }]));
    return { ...about, kind: "union", tag: propertyName, options };
  }
  return { ...about, kind: "yaml" };
}

/** Return what stands at a path of a document.
 * @param {any} doc
 * @param {string[]} path */
export function at(doc, path) {
  return path.reduce((node, key) => (node === null || node === undefined ? undefined : node[key]), doc);
}

/** Return a document with a value at a path; undefined takes the key away, and sections that become empty.
 * @param {any} doc
 * @param {string[]} path
 * @param {any} value
 * @returns {any} */
export function put(doc, [key, ...rest], value) {
  const base = Array.isArray(doc) ? [...doc] : doc && typeof doc === "object" ? { ...doc } : {};
  const inner = rest.length ? put(base[key], rest, value) : value;
  const empty = inner === undefined || (rest.length && !Array.isArray(inner) && !Object.keys(inner).length);
  if (!empty) base[key] = inner;
  else if (Array.isArray(base)) base.splice(Number(key), 1);
  else delete base[key];
  return base;
}
