// Hold: the list of events stands still from the first touch of it, before the server knows: while
// the pointer is at work in it, an event has the focus, or will get it back from the dialog, or it is
// scrolled.
window.hold = (() => {
  const IDLE = 10_000; // milliseconds until a resting pointer is not at work any more
  const BACK = 400; // milliseconds in which a dialog that is gone has given the focus back
  const PRESSED = 600; // milliseconds from a press to its click
  const reasons = new Map(); // reason → the timer that ends it
  let list = null;

  const tell = (on) => list?.dispatchEvent(new CustomEvent("hold", { detail: on }));
  const set = (reason, milliseconds) => {
    const held = reasons.size > 0;
    clearTimeout(reasons.get(reason));
    reasons.set(reason, milliseconds ? setTimeout(() => end(reason), milliseconds) : 0);
    if (!held) tell(true);
  };
  const end = (reason) => {
    clearTimeout(reasons.get(reason));
    if (!reasons.delete(reason) || reasons.size) return;
    tell(false);
    dispatchEvent(new Event("release"));
  };
  const listen = (name, act) =>
    document.addEventListener(
      name,
      (event) => {
        const found = event.target.closest?.(".stream");
        if (found) act(event, (list = found));
      },
      { capture: true, passive: true },
    );
  const over = (event) => event.pointerType === "mouse" && set("pointer", IDLE);
  listen("pointerover", over);
  listen("pointermove", over);
  listen("pointerdown", () => set("press"));
  listen("pointerout", (event, at) => at.contains(event.relatedTarget) || end("pointer"));
  for (const name of ["pointerup", "pointercancel"])
    document.addEventListener(name, () => reasons.has("press") && set("press", PRESSED), true);
  listen("focusin", (event) => event.target.matches("li :focus-visible") && set("focus"));
  // The dialog gives the focus back to the event once it has disappeared.
  const untilReturned = () => {
    if (document.querySelector("[role=dialog]")) setTimeout(untilReturned, BACK);
    else if (!document.activeElement.closest(".stream li")) end("focus");
  };
  listen("focusout", (event, at) => {
    if (at.contains(event.relatedTarget)) return;
    if (event.relatedTarget?.closest("[role=dialog]")) setTimeout(untilReturned, BACK);
    else end("focus");
  });
  listen("scroll", (_, at) => (at.scrollTop > 4 ? set("scroll") : end("scroll")));
  return {
    on: (element) => reasons.size > 0 && !!element.closest(".stream"),
    release: () => [...reasons.keys()].forEach(end),
  };
})();
