//! Pages without a mouse: what can be used is reached by Tab in the order of the page, and one sees where one is.

use serde_json::json;

use crate::support::{Browser, wait_until};

/// What Tab stops at, in the order of the document; none of a group of radio buttons but the one that is chosen.
const STOPS: &str =
    "window.stops = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')]
    .filter(one => one.checkVisibility() && !one.disabled && one.type !== 'hidden' && one.tabIndex >= 0)
    .filter(one => one.type !== 'radio' || one.checked);";

/// Where one is: which stop that is, whether it can be seen, and whether something shows that it has the focus.
const HERE: &str =
    "const here = document.activeElement, style = getComputedStyle(here), box = here.getBoundingClientRect();
    const isInside = box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
    const isMarked = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
    return [stops.indexOf(here), isInside && box.width > 0, isMarked, here.outerHTML.slice(0, 200)]";

/// What a live page replaces under the hands of somebody must be found again: by its id.
const WITHOUT_ID: &str = "return [...document.querySelectorAll('[data-live] button, [data-live] [tabindex]')]
    .filter(one => one.id === '').map(one => one.outerHTML)";

#[track_caller]
pub fn everything_is_reached_by_tab(browser: &Browser) {
    let path = browser.path();
    let count = browser.run(&format!("{STOPS} return stops.length"), &[]).as_u64().unwrap();
    assert!(count > 1, "{path} has nothing to use");
    for stop in 0..count {
        browser.press(Browser::TAB);
        let here = browser.run(&format!("{STOPS} {HERE}"), &[]);
        assert_eq!(here[0], json!(stop), "{path}: Tab leads elsewhere: {here}");
        assert_eq!((&here[1], &here[2]), (&json!(true), &json!(true)), "{path}: one does not see where one is: {here}");
    }
    assert_eq!(browser.run(WITHOUT_ID, &[]), json!([]), "{path}: the focus would be lost");
}

/// The first stop of every page leads past the navigation.
#[track_caller]
pub fn the_navigation_is_skipped(browser: &Browser) {
    browser.press(Browser::TAB);
    browser.press(Browser::ENTER);
    browser.press(Browser::TAB);
    let is_in_main = browser.run("return document.getElementById('main').contains(document.activeElement)", &[]);
    assert_eq!(is_in_main, json!(true), "{}", browser.path());
}

/// A live page replaces its parts under the hands of whoever reads it.
pub fn the_focus_stays_where_it_is_when_a_part_is_replaced(browser: &Browser) {
    let changes = "const link = document.querySelector('[data-live] a:not([id])'), part = link.closest('[data-live]');
        link.focus();
        part.append('changed');
        window.wanted = [part.id, link.href];
        document.dispatchEvent(new Event('visibilitychange'))";
    browser.run(changes, &[]);
    let is_fresh = "return !document.getElementById(window.wanted[0]).textContent.endsWith('changed')";
    wait_until("the part is replaced", || browser.run(is_fresh, &[]) == json!(true));
    let is_there = "return document.activeElement.href === window.wanted[1]";
    assert_eq!(browser.run(is_there, &[]), json!(true), "{}", browser.path());
}

/// Boxes are ticked with the space bar, details opened with Enter, a plan made and run, and nothing of it by a mouse.
pub fn a_sync_is_planned_and_run(browser: &Browser) {
    let is = |script: &str| browser.run(&format!("return document.activeElement.{script}"), &[]);
    browser.go("/sync?with=push:target");
    the_navigation_is_skipped(browser);
    browser.tab_to("input[name=models]");
    for ticked in [true, false] {
        browser.press(Browser::SPACE);
        assert_eq!(is("checked"), json!(ticked));
    }
    browser.tab_to("form[method=post] button.main");
    browser.press(Browser::ENTER);
    browser.wait_for_text("#changes", "update content posts");
    browser.tab_to("#change-1 summary");
    for (key, open) in [(Browser::ENTER, true), (Browser::SPACE, false)] {
        browser.press(key);
        assert_eq!(is("parentNode.open"), json!(open));
    }
    browser.go(&browser.path());
    browser.tab_to("#run-it");
    browser.press(Browser::SPACE);
    browser.wait_for_text("#run-state", "finished");
}
