// Live: HTML that is merged into what is shown, element by element, so that focus, scrolling, a
// selection and what is under the mouse survive. Elements with the same data-key are the same.
const keyOf = (node) => node.dataset?.key;
const alike = (old, fresh) => !keyOf(old) && !keyOf(fresh) && old.nodeName === fresh.nodeName;

function merge(old, fresh) {
  const focused = document.activeElement;
  const wanted = new Set([...fresh.children].map(keyOf));
  const kept = new Map();
  for (const child of [...old.children]) {
    if (!keyOf(child)) continue;
    if (wanted.has(keyOf(child))) kept.set(keyOf(child), child);
    else child.remove();
  }
  let at = old.firstChild;
  const drop = () => {
    const next = at.nextSibling;
    at.remove();
    at = next;
  };
  for (const node of [...fresh.childNodes]) {
    const mine = keyOf(node) ? kept.get(keyOf(node)) : at && alike(at, node) ? at : null;
    if (!mine) {
      old.insertBefore(node, at);
      continue;
    }
    kept.delete(keyOf(node));
    if (mine.contains(focused)) while (at !== mine) drop(); // to move it would take its focus
    if (mine === at) at = at.nextSibling;
    else old.insertBefore(mine, at);
    update(mine, node);
  }
  while (at) drop();
}

function update(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes)
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  merge(old, fresh);
}

// Show it. When the focused element disappears, the one in its place is focused.
function show(element, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const targets = () => [...element.querySelectorAll("button, [tabindex], a[href]")];
  const focused = targets().indexOf(document.activeElement);
  merge(element, template.content);
  if (focused < 0 || element.contains(document.activeElement)) return;
  const left = targets();
  (left[Math.min(focused, left.length - 1)] ?? element).focus({ preventScroll: true });
}

export default {
  template: `<component :is="tag"></component>`,
  mounted() {
    this.render();
    addEventListener("release", this.render);
  },
  updated() {
    this.render();
  },
  unmounted() {
    removeEventListener("release", this.render);
  },
  methods: {
    // While the list is held, only what the viewer has asked for changes it.
    render() {
      if (this.innerHTML === this.shown) return;
      if (this.holds && this.version === this.shownVersion && window.hold.on(this.$el)) return;
      this.shown = this.innerHTML;
      this.shownVersion = this.version;
      show(this.$el, this.innerHTML ?? "");
    },
  },
  props: { innerHTML: String, sanitize: Boolean, tag: String, holds: Boolean, version: String },
};
