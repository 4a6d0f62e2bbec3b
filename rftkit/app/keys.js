// Keys press buttons that are there anyway; the live region and names that Gradio leaves out.
(() => {
  const press = id => {
    const place = document.getElementById(id);
    const button = place && (place.matches("button") ? place : place.querySelector("button"));
    if (button && !button.disabled) button.click();
  };
  const typing = target => target.closest("input:not([type=range]), textarea, select, [contenteditable]");
  document.addEventListener("keydown", event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      press("rft-run");
    } else if (event.key === "Escape") {
      press("rft-stop");
    } else if (/^[1-4]$/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
      if (!typing(event.target)) press("rft-vote-" + event.key);
    }
  }, true);
  document.addEventListener("click", event => {
    const narrow = window.matchMedia("(max-width: 640px)").matches;
    if (narrow && event.target.closest("#rft-run, .rft-example")) {
      document.getElementById("rft-answers")?.scrollIntoView({ behavior: "smooth" });
    }
  });
  let opening = false;  // a row was pressed: its tab goes, and the focus must not go with it
  document.addEventListener("click", event => {
    opening = Boolean(event.target.closest(".rft-open"));
  });
  const follow = () => {
    const answers = document.getElementById("rft-banner");
    if (!opening || !answers?.offsetParent) return;
    opening = false;
    answers.tabIndex = -1;
    answers.focus();
  };
  const name = () => {
    follow();
    const status = document.getElementById("rft-status");
    if (status && !status.hasAttribute("aria-live")) {
      status.setAttribute("role", "status");
      status.setAttribute("aria-live", "polite");
    }
    document.documentElement.lang = document.documentElement.lang || "en";
  };
  new MutationObserver(name).observe(document.documentElement, {
    childList: true, subtree: true, attributes: true, attributeFilter: ["style", "class"],
  });
})();
