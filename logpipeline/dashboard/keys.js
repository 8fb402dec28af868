// Keys: "/" to search, "p" to pause, arrows or "j" and "k" between events, "?" for help; Back; copies.
// Before a list to choose from gets them, which opens at any letter.
const press = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const dialog = event.target.closest("[role=dialog]") ?? document.querySelector("[role=dialog] .whole");
  if (dialog && dialog.checkVisibility()) {
    const button = { ArrowRight: ".next", j: ".next", ArrowLeft: ".previous", k: ".previous" }[event.key];
    if (button) document.querySelector(button)?.click();
    return;
  }
  const chooses = event.target.closest("[role=combobox]");
  const opened = chooses && (chooses.ariaExpanded === "true" || !"/?pjk".includes(event.key));
  if (opened || event.target.closest("input:not([role=combobox]), .plot-box")) {
    if (event.key === "Escape" && event.target.closest(".search")) event.target.blur();
    return;
  }
  const row = event.target.closest(".events li");
  const after = row ? row.nextElementSibling : document.querySelector(".events li");
  const next = {
    ArrowDown: after,
    j: after,
    ArrowUp: row?.previousElementSibling,
    k: row?.previousElementSibling,
    Home: row?.parentElement.firstElementChild,
    End: row?.parentElement.lastElementChild,
  }[event.key];
  if (next) next.firstElementChild.focus();
  else if (event.key === "/") document.querySelector(".search input").focus();
  else if (event.key === "p") document.querySelector(".pause").click();
  else if (event.key === "?") document.querySelector(".help-button").click();
  else return;
  event.preventDefault();
  event.stopPropagation();
};
document.addEventListener("keydown", press, true);
addEventListener("popstate", () =>
  document.querySelector(".page").dispatchEvent(new CustomEvent("back", { detail: location.search })),
);
addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  const text = button.dataset.copy === "address" ? location.href : button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Beyond localhost, a page without TLS has no clipboard.
    const area = button.appendChild(document.createElement("textarea"));
    area.value = text;
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.dataset.done = "";
  setTimeout(() => delete button.dataset.done, 1_500);
});
