/**
 * Elements made of values, and a tree brought up to date in place.
 *
 * Everything that comes from objects becomes a text node or an attribute here, never markup: the page's
 * policy allows no other way either. Styles of one element are custom properties set one by one, for a
 * style attribute is forbidden too.
 */

/** Listeners are properties, so that one tree can take over those of another. */
const LISTENERS = ["onclick", "onsubmit", "onchange", "oninput"];

/**
 * @param {string} name `div`, or `div.card.wide` with classes
 * @param {{ [key: string]: any } | null} [props] attributes; `on…` listeners; `key` to be known by among
 *   its siblings; `vars` of CSS. What is `undefined`, `null` or `false` is left out.
 * @param {...any} children nodes, texts, arrays of these; empty ones are left out
 * @returns {any}
 */
export function h(name, props, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length > 0) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "vars") setVars(element, value);
    else if (key === "key") element.dataset.key = value;
    else if (LISTENERS.includes(key)) element[key] = value;
    else if (key === "class") element.classList.add(...value.split(" ").filter(Boolean));
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...flat(children));
  return element;
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false && child !== "");
}

function setVars(element, vars) {
  element.vars = vars;
  for (const [name, value] of Object.entries(vars)) element.style.setProperty(name, value);
}

/** Makes the children of `target` look like these, and keeps those that are the same: their focus, their place. */
export function show(target, ...children) {
  const wanted = flat(children).map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
  const keyed = new Map([...target.childNodes].filter(keyOf).map((child) => [keyOf(child), child]));
  let at = target.firstChild;
  for (const fresh of wanted) {
    const key = keyOf(fresh);
    const match = key !== undefined ? keyed.get(key) : at !== null && keyOf(at) === undefined ? at : undefined;
    if (match === undefined) {
      target.insertBefore(fresh, at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else target.insertBefore(match, at);
    adapt(match, fresh);
  }
  while (at !== null) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function keyOf(node) {
  return node.dataset?.key;
}

function adapt(node, fresh) {
  if (node === fresh) return;
  if (node.nodeName !== fresh.nodeName) {
    node.replaceWith(fresh);
    return;
  }
  if (node.nodeType === Node.TEXT_NODE) {
    if (node.data !== fresh.data) node.data = fresh.data;
    return;
  }
  for (const { name } of [...node.attributes]) {
    if (name !== "style" && !fresh.hasAttribute(name)) node.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) {
    if (name !== "style" && node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  if (fresh.vars !== undefined) setVars(node, fresh.vars);
  for (const name of LISTENERS) node[name] = fresh[name];
  show(node, ...fresh.childNodes);
}

/** A class put on for a moment, again for every call. */
export function flash(element, name = "flash") {
  element.classList.remove(name);
  // Asking for its place makes the browser notice that the class was gone.
  void element.offsetWidth;
  element.classList.add(name);
}
