// Hits: what the search looks for is marked, in the list and in the dialog, without changing them.
(() => {
  if (!window.CSS?.highlights) return;
  const TEXTS = ".events bdi, .whole pre bdi, .whole td:not(.tools) bdi, .neighbours bdi";
  const MOST = 3_000; // marks
  const LONG = 1_000; // characters in which a regular expression is looked for
  const PAUSE = 150; // milliseconds between two looks
  const MARKS = new Highlight();
  CSS.highlights.set("hit", MARKS);
  const quoted = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const regex = (text, flags) => {
    try {
      return new RegExp(text, flags);
    } catch {
      return null; // find.py knows others
    }
  };
  // A repeated group may take for ever.
  const marked = ({ words, patterns }) => ({
    words: words.length ? regex(words.map(quoted).join("|"), "giu") : null,
    patterns: patterns.filter((text) => !/\)[*+{]/.test(text)).map((text) => regex(text, "gi")),
  });
  const mark = (node, text, pattern) => {
    for (const found of text.matchAll(pattern)) {
      if (MARKS.size >= MOST) return;
      if (!found[0]) continue;
      const range = new Range();
      range.setStart(node, found.index);
      range.setEnd(node, found.index + found[0].length);
      MARKS.add(range);
    }
  };
  const look = () => {
    const asked = document.querySelector(".page")?.dataset.hits;
    MARKS.clear();
    if (!asked) return;
    const { words, patterns } = marked(JSON.parse(asked));
    for (const element of document.querySelectorAll(TEXTS)) {
      const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
      for (let node; (node = walker.nextNode()); ) {
        if (words) mark(node, node.data, words);
        for (const each of patterns) if (each) mark(node, node.data.slice(0, LONG), each);
      }
    }
  };
  let waiting = 0;
  new MutationObserver(() => {
    waiting ||= setTimeout(() => {
      waiting = 0;
      look();
    }, PAUSE);
  }).observe(document, { attributeFilter: ["data-hits"], childList: true, characterData: true, subtree: true });
})();
