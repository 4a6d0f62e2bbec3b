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
    if (!event.target.closest("#rft-run, .rft-example")) return;
    document.body.dataset.running = "";  // until the run is over: another press does nothing
    if (window.matchMedia("(max-width: 640px)").matches) {
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
  // What a reader opened or closed stays so while the text around it is written anew, which may
  // be between press and release: then there is no click.
  let folds = {}, pressed = "", turned = false;
  const paneOf = element => element.closest("#rft-left, #rft-right")?.id ?? "";
  const foldOf = details => details?.isConnected
    ? paneOf(details) + details.querySelector("summary").firstChild.textContent : "";
  const foldAt = event => event.target.closest(".rft-pane summary")?.parentElement;
  const turn = details => {
    folds[foldOf(details)] = details.open = !details.open;
    scrollReasoning();
  };
  document.addEventListener("pointerdown", event => {
    [pressed, turned] = [foldOf(foldAt(event)), false];
  });
  document.addEventListener("pointerup", event => {
    const details = foldAt(event);
    if (!pressed || pressed !== foldOf(details)) return;
    turn(details);
    turned = true;
  });
  document.addEventListener("click", event => {
    if (event.target.closest("#rft-run, .rft-example, .rft-open")) [folds, scrolled] = [{}, {}];
    const details = foldAt(event);
    if (!details) return;
    event.preventDefault();
    if (!turned || event.detail === 0) turn(details);  // by a key, or read aloud
  });
  const refold = () => {
    for (const details of document.querySelectorAll(".rft-pane details")) {
      const open = folds[foldOf(details)] ?? details.open;
      if (details.open !== open) details.open = open;
    }
  };
  // A long reasoning scrolls in its own box: along with the text while it is written, unless its
  // reader has scrolled up; then it stays where the reader left it.
  let scrolled = {}, heights = new WeakMap();
  document.addEventListener("scroll", event => {
    const box = event.target;
    if (!box.isConnected || !box.matches?.(".rft-reasoning")) return;
    const left = box.scrollHeight - box.clientHeight - box.scrollTop;
    scrolled[paneOf(box)] = { top: box.scrollTop, follows: left < 8 };
  }, true);
  const scrollReasoning = () => {
    for (const box of document.querySelectorAll(".rft-reasoning")) {
      if (!box.clientHeight || heights.get(box) === box.scrollHeight) continue;  // hidden, or as it was
      heights.set(box, box.scrollHeight);
      const ended = box.closest(".rft-pane").querySelector(".state.done, .state.stopped, .state.failed");
      const { top, follows } = scrolled[paneOf(box)] ?? { top: 0, follows: !ended };
      box.scrollTop = follows ? box.scrollHeight : top;
    }
  };
  const name = () => {
    follow();
    refold();
    scrollReasoning();
    const status = document.getElementById("rft-status");
    if (status && !status.hasAttribute("aria-live")) {
      status.setAttribute("role", "status");
      status.setAttribute("aria-live", "polite");
    }
    const origin = document.querySelector(".rft-origin");
    if (origin && origin.textContent !== location.origin) origin.textContent = location.origin;
    document.documentElement.lang = document.documentElement.lang || "en";
  };
  new MutationObserver(name).observe(document.documentElement, {
    childList: true, characterData: true, subtree: true,
    attributes: true, attributeFilter: ["style", "class", "open"],
  });
})();
