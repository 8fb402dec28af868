// Keys: "/" to search, "p" to pause, arrows to move between events.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, [role=dialog]")) return;
  const row = event.target.closest(".events li");
  const next = {
    ArrowDown: row ? row.nextElementSibling : document.querySelector(".events li"),
    ArrowUp: row?.previousElementSibling,
    Home: row?.parentElement.firstElementChild,
    End: row?.parentElement.lastElementChild,
  }[event.key];
  if (next) next.firstElementChild.focus();
  else if (event.key === "/") document.querySelector(".search input").focus();
  else if (event.key === "p") document.querySelector(".pause").click();
  else return;
  event.preventDefault();
});
