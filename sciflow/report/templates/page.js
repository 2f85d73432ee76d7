"use strict";
(() => {
  const viewer = document.getElementById("viewer");
  const frame = document.getElementById("viewer-frame");
  const image = document.getElementById("viewer-image");
  const larger = document.getElementById("viewer-larger");
  const enlarge = (on) => {
    frame.classList.toggle("larger", on);
    larger.setAttribute("aria-pressed", String(on));
  };
  for (const button of document.querySelectorAll("button.zoom")) {
    button.addEventListener("click", () => {
      const shown = button.querySelector("img");
      image.src = shown.src;
      image.alt = shown.alt;
      document.getElementById("viewer-caption").textContent = button.getAttribute("aria-label").replace(/^Enlarge: /, "");
      enlarge(false);
      viewer.showModal();
    });
  }
  larger.addEventListener("click", () => enlarge(!frame.classList.contains("larger")));
  image.addEventListener("click", () => enlarge(!frame.classList.contains("larger")));
  // what is folded would be missing on paper
  const folded = [];
  window.addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("main details:not([open])")) {
      folded.push(one);
      one.open = true;
    }
  });
  window.addEventListener("afterprint", () => {
    while (folded.length) folded.pop().open = false;
  });
  if (matchMedia("(max-width: 63.99rem)").matches) document.getElementById("contents").open = false;
})();
