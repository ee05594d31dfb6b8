#!/usr/bin/env python3
"""Takes the pictures of the README from the page of a run: parts of it, in light and in dark.

    scripts/picture.py runs/quickstart/report.html docs/images

Writes report-light.png and report-dark.png there. Needs Chromium (scripts/setup-chromium), as check_report.py does, and nothing else.
"""

import argparse
import base64
import json
import os
import pathlib
import tempfile

from check_report import Browser, chromium

# In pixels of the page; the picture is smaller by SCALE.
WIDTH, SCALE = 1280, 0.78
# The parts of the page that the picture leaves out: it shows the answer, and where the time goes.
LEFT_OUT = """nav, .quiet, .charts figcaption a, #found .charts,
    #layers h3, #layers .wide, #features, #rounds, #responses, #search, #environment, #reproduce"""
LEAVE_OUT = """((parts) => {
    document.querySelectorAll(parts).forEach((part) => { part.style.display = 'none'; });
    return document.body.getBoundingClientRect().height;
})(%s)"""


def take(browser, page, scheme):
    """The PNG of those parts."""
    target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
    session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    browser.events.clear()
    for domain in ["Page", "Runtime"]:
        browser.ask(f"{domain}.enable", session)
    browser.ask("Emulation.setScrollbarsHidden", session, hidden=True)
    browser.ask("Emulation.setDeviceMetricsOverride", session, width=WIDTH, height=900, deviceScaleFactor=1, mobile=False)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.ask("Emulation.setEmulatedMedia", session, media="screen", features=features)
    browser.ask("Page.navigate", session, url=page.resolve().as_uri())
    browser.wait_for("Page.loadEventFired")
    expression = LEAVE_OUT % json.dumps(LEFT_OUT)
    height = browser.ask("Runtime.evaluate", session, expression=expression, returnByValue=True)["result"]["value"]
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": SCALE}
    shot = browser.ask("Page.captureScreenshot", session, format="png", captureBeyondViewport=True, clip=clip)
    browser.ask("Target.closeTarget", targetId=target)
    return base64.b64decode(shot["data"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("page", type=pathlib.Path, metavar="RUN/report.html")
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
    options = parser.parse_args()
    if not options.page.is_file():
        raise SystemExit(f"error: {options.page} is no file; name a page that `autofas-bench report` wrote")
    program = chromium()
    if program is None:
        raise SystemExit("error: there is no Chromium; scripts/setup-chromium installs it")
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            for scheme in ["light", "dark"]:
                shown = options.folder / f"report-{scheme}.png"
                # Whole or not there.
                unfinished = shown.with_suffix(".unfinished")
                unfinished.write_bytes(take(browser, options.page, scheme))
                os.replace(unfinished, shown)
                print(f"{shown}: {shown.stat().st_size} bytes")
        finally:
            browser.close()


if __name__ == "__main__":
    main()
