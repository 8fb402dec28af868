// Plot: the chart is a control. A click on a bar, or a drag over some, chooses their time; on the
// keyboard the arrows choose a bar, with Shift more of them, and Enter shows their events.
(() => {
  let box = null, from = -1, to = -1, dragging = false;

  const chart = () => getElement(Number(box.querySelector(".plot").id.slice(1))).chart;
  const bars = () => chart().getOption().xAxis[0].data.length;
  const within = (index) => Math.max(0, Math.min(bars() - 1, index));
  const at = (event) =>
    within(chart().convertFromPixel({ xAxisIndex: 0 }, event.clientX - box.getBoundingClientRect().left));
  const draw = () => {
    const mark = box.querySelector(".mark");
    mark.hidden = from < 0;
    if (from < 0) return;
    const place = (index) => chart().convertToPixel({ xAxisIndex: 0 }, index);
    const half = bars() > 1 ? (place(1) - place(0)) / 2 : 8;
    mark.style.left = `${place(Math.min(from, to)) - half}px`;
    mark.style.width = `${place(Math.max(from, to)) - place(Math.min(from, to)) + 2 * half}px`;
  };
  const clear = () => {
    from = to = -1;
    draw();
  };
  const choose = () => {
    const detail = [Math.min(from, to), Math.max(from, to)];
    box.dispatchEvent(new CustomEvent("period", { detail }));
    clear();
  };
  addEventListener("pointerdown", (event) => {
    const found = event.target.closest?.(".plot-box");
    if (!found || event.button) return;
    box = found;
    dragging = true;
    from = to = at(event);
    draw();
  });
  addEventListener("pointermove", (event) => {
    if (!dragging) return;
    to = at(event);
    draw();
  });
  addEventListener("pointerup", () => {
    if (dragging) choose();
    dragging = false;
  });
  addEventListener("pointercancel", () => {
    if (dragging) clear();
    dragging = false;
  });
  addEventListener("keydown", (event) => {
    if (!event.target.matches?.(".plot-box")) return;
    box = event.target;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      to = within(from < 0 ? bars() - 1 : to + step);
      if (!event.shiftKey || from < 0) from = to;
      draw();
    } else if (event.key === "Enter" && from >= 0) choose();
    else if (event.key === "Escape") clear();
    else return;
    event.preventDefault();
  });
})();
