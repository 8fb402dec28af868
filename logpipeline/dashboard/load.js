// Load: reloads the page when one of its scripts or styles did not arrive, as when the network changes.
(() => {
  const FIRST = 500; // milliseconds until the first reload; each further one waits twice as long
  const LONGEST = 30_000;
  const FORGOTTEN = 60_000; // milliseconds after which a reload is a first one
  const KEY = "load.waits"; // in sessionStorage: [milliseconds of the last wait, Unix time of its end]

  const later = () => {
    const [last, at] = JSON.parse(sessionStorage.getItem(KEY) ?? "[0, 0]");
    const wait = Date.now() - at < FORGOTTEN ? Math.min(2 * last, LONGEST) : FIRST;
    setTimeout(reload, wait, wait);
  };

  // A browser does not leave its own error page, so the server must answer first.
  const reload = async (waited) => {
    sessionStorage.setItem(KEY, JSON.stringify([waited, Date.now()]));
    const answer = await fetch(location.href).catch(() => null);
    if (answer && answer.status < 500) location.reload();
    else later();
  };

  const failed = ({ target }) => {
    if (!(target instanceof HTMLScriptElement)) return;
    removeEventListener("error", failed, true);
    removeEventListener("load", loaded);
    addEventListener("DOMContentLoaded", () => {
      const fallback = document.getElementById("esm-fallback"); // which blames the browser
      if (fallback) fallback.textContent = "A part of this page did not arrive. Reloading …";
    });
    later();
  };

  // No event tells of a style sheet that another one imports. A font is not worth a reload.
  const loaded = () => {
    const sheets = performance.getEntriesByType("resource").filter(({ name }) => name.endsWith(".css"));
    if (sheets.some(({ responseStatus }) => responseStatus === 0)) later();
  };

  addEventListener("error", failed, true);
  addEventListener("load", loaded);
})();
