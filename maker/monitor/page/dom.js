// The page is changed in place: nothing is written that already stands there, so that a second in which little happens
// costs little. Text only ever arrives as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

/** The element of this id. A missing one is a slip of ours, told at once. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element #${id}`);
  return found;
}

/** Make an element: class names after dots, attributes, then children, elements or texts. */
export function make(kind, attributes = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function makeSvg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/** A text in which `commands` stand between backticks. */
export function textWithCode(node, value) {
  if (node.dataset.words === value) return;
  node.dataset.words = value;
  node.replaceChildren(...value.split("`").map((part, at) => (at % 2 ? make("code", {}, part) : part)));
}

/** Set an attribute; null or false takes it away. */
export function attribute(node, name, value) {
  if (value === null || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

export function shown(node, yes) {
  if (node.hidden === yes) node.hidden = !yes;
}

/** One of the page's signs, by level: a shape of its own each. It says its word to those who do not see it. */
export function sign(level, word = "") {
  const use = makeSvg("use", { href: `#sign-${level}` });
  const node = makeSvg("svg", { class: `sign ${level}`, viewBox: "0 0 24 24" }, use);
  if (word) {
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", word);
  } else {
    node.setAttribute("aria-hidden", "true");
  }
  return node;
}

export function setSign(node, level, word = "") {
  attribute(node, "class", `sign ${level}`);
  attribute(node.firstElementChild, "href", `#sign-${level}`);
  if (word) attribute(node, "aria-label", word);
}

/**
 * Keep `parent`'s children equal to `items`, in their order: `create(item)` makes one, `update(node, item)` brings it up
 * to date, `key(item)` tells which is which. Nodes that stay are not moved unless their order changed, and keep focus.
 */
export function list(parent, items, key, create, update) {
  const known = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let before = null;
  const used = new Set();
  for (const item of items) {
    let name = String(key(item));
    while (used.has(name)) name += "'"; // two alike are still two
    used.add(name);
    let node = known.get(name);
    if (!node) {
      node = create(item);
      node.dataset.key = name;
    }
    const place = before ? before.nextSibling : parent.firstChild;
    if (place !== node) parent.insertBefore(node, place);
    update(node, item);
    before = node;
  }
  for (const [name, node] of known) if (!used.has(name)) node.remove();
}

/** A pair of a name and a value for a <dl>, as {node, value}: the value's element is to be filled. */
export function pair(name, kind = "") {
  const value = make("dd");
  return { node: make(`div.pair${kind}`, {}, make("dt", {}, name), value), value };
}

/**
 * A bar from `low` to `high` with its words, for people who see and who do not. `fill` is where it is filled to,
 * `from` where it begins (0 for signed ones), `mark` a line across it. All are in the caller's unit.
 */
export function makeBar(label, kind = "") {
  const fill = make("i.fill"), mark = make("i.mark");
  const node = make(`div.bar${kind}`, { role: "meter", "aria-label": label, "aria-valuemin": 0 }, fill, mark);
  return { node, fill, mark };
}

export function setBar(bar, { low = 0, high, value, from = 0, mark = null, words, level = "" }) {
  const at = (x) => (high > low ? Math.min(1, Math.max(0, (x - low) / (high - low))) : 0);
  const [a, b] = [at(from), at(value ?? from)].sort((x, y) => x - y);
  // Moved and stretched by transform: nothing is laid out again.
  styled(bar.fill, `translateX(${(a * 100).toFixed(2)}%) scaleX(${(b - a).toFixed(4)})`);
  styled(bar.mark, `translateX(${(mark === null ? 0 : at(mark) * 100).toFixed(2)}%)`);
  shown(bar.mark, mark !== null);
  attribute(bar.node, "data-level", level || null);
  attribute(bar.node, "aria-valuemin", low);
  attribute(bar.node, "aria-valuemax", Number.isFinite(high) ? high : 0);
  attribute(bar.node, "aria-valuenow", value ?? from);
  attribute(bar.node, "aria-valuetext", words);
}

function styled(node, transform) {
  if (node.dataset.at === transform) return;
  node.dataset.at = transform;
  node.style.transform = transform;
}
