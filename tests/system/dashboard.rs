//! The dashboard, in a real browser. One browser for all: starting it takes longer than most of what is done in it.
//!
//! With `SCREENSHOTS=FOLDER` in the environment the pictures of the documentation are taken on the way.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Browser, Rig, let_the_second_pass, small, wait_until};

mod keyboard;
mod serving;

use serving::Serving;

/// A picture of the page for the documentation, if somebody wants one.
fn picture(browser: &Browser, name: &str) {
    let Some(folder) = std::env::var_os("SCREENSHOTS").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    browser.run("scrollTo(0, 0)", &[]);
    std::fs::write(folder.join(format!("{name}.png")), browser.screenshot()).unwrap();
}

/// A page in both sizes: what is on it can be used by everybody.
#[track_caller]
fn is_sound_on_every_screen(browser: &Browser) {
    browser.assert_is_sound();
    browser.resize(390, 844);
    browser.assert_is_sound();
    let overflows = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
    assert_eq!(browser.run(overflows, &[]), json!(false), "{} is wider than a phone", browser.path());
    browser.resize(1200, 900);
}

#[test]
fn people_sync_watch_and_mend_in_a_browser() {
    let Some(mut browser) = Browser::start(false) else { return };
    let mut rig = Rig::without_instances();
    let made = instances::make(&rig.source(), &small()).unwrap();
    rig.start_agent("source");
    rig.add_empty("target");
    rig.start_worker();
    let serving = Serving::start(&mut rig, &[("anna", "sync/manage"), ("ben", "sync/view")]);
    browser.base.clone_from(&serving.base);

    nobody_sees_anything_before_the_login(&browser, &serving);
    a_sync_is_planned_run_and_watched_to_its_end(&browser);
    rig.assert_equal();
    an_item_that_was_held_is_opened_and_tried_again(&browser, &rig, &made.posts[7]);
    every_page_is_sound(&browser);
    browser.go("/targets");
    picture(&browser, "targets");
    everything_is_done_without_a_mouse(&browser, &rig, &made.posts[5]);
    a_run_is_cancelled_and_a_lock_reset(&browser, &mut rig);
    a_viewer_looks_and_the_api_refuses_the_rest(&browser, &serving);

    drop(browser);
    let Some(mut browser) = Browser::start(true) else { return };
    browser.base.clone_from(&serving.base);
    pages_can_be_read_in_the_dark(&browser, &serving);
}

fn log_in(browser: &Browser, token: &str) {
    browser.fill("input[name=token]", token);
    browser.click("button.main");
    browser.wait_for_text("h1", "Overview");
}

fn nobody_sees_anything_before_the_login(browser: &Browser, serving: &Serving) {
    browser.go("/runs");
    assert_eq!(browser.path(), "/login");
    is_sound_on_every_screen(browser);
    browser.fill("input[name=token]", "anna.guessed");
    browser.click("button.main");
    browser.wait_for_text("[role=alert]", "not known");
    browser.go("/login");
    log_in(browser, serving.token("anna"));
    browser.wait_for_text("#overview", "healthy");
    browser.wait_for_text("#live", "live");
}

/// Fills in nothing: everything.
fn plan_a_push(browser: &Browser) {
    browser.go("/sync?with=push:target");
    browser.click("form[method=post] button.main");
    browser.wait_for_text("#plan", "What it would do");
}

fn a_sync_is_planned_run_and_watched_to_its_end(browser: &Browser) {
    browser.go("/sync");
    browser.wait_for_text("main", "posts");
    is_sound_on_every_screen(browser);
    picture(browser, "run-sync");
    plan_a_push(browser);
    assert!(browser.path().starts_with("/plans/"));
    browser.wait_for_text("#plan", "Create ");
    is_sound_on_every_screen(browser);
    browser.click("#run-it");
    // From here on nothing is loaded anew: the page itself follows the run.
    browser.wait_for_text("#run-state", "finished");
    assert_eq!(browser.attribute("#run-progress", "value"), "100");
    assert!(browser.text("#run").contains("both sides were compared"), "{}", browser.page_text());
    is_sound_on_every_screen(browser);
}

/// An editor has one of the posts open that were changed: it is held, and brought once it is closed.
fn an_item_that_was_held_is_opened_and_tried_again(browser: &Browser, rig: &Rig, open: &str) {
    let_the_second_pass();
    instances::edit_item(&rig.source(), "posts", open, |post| post["title"] = json!("<b>Newer</b>")).unwrap();
    serving::open_in_cockpit(&rig.target(), open);
    plan_a_push(browser);
    browser.wait_for_text("#plan", "update 1");
    browser.click("#change-1 summary");
    // Shown as it is written, not done.
    browser.wait_for_text("#change-1", "<b>Newer</b>");
    browser.wait_for_text("#change-1", "title");
    picture(browser, "plan");
    browser.click("#run-it");
    browser.wait_for_text("#run-state", "items held");
    browser.click("#held-1 summary");
    browser.wait_for_text("#held-1", "Anna <anna@example.com> has it open");
    is_sound_on_every_screen(browser);
    picture(browser, "run-held");
    browser.go("/");
    browser.wait_for_text("#overview", "items held: 1");
    is_sound_on_every_screen(browser);
    picture(browser, "overview");

    serving::close_in_cockpit(&rig.target());
    browser.click("section[aria-labelledby=attention] a");
    browser.click("#held-1 summary");
    let held = browser.path();
    browser.click("#again-1");
    wait_until("the run of the one item is shown", || browser.path() != held && browser.path().starts_with("/runs/"));
    browser.wait_for_text("#run-state", "finished");
    let post = instances::read_item(&rig.target(), "posts", open).unwrap().unwrap();
    assert_eq!(post["title"], "<b>Newer</b>");
}

const PAGES: [(&str, &str); 8] = [
    ("/sync", "Run sync"),
    ("/runs", "History"),
    ("/targets", "Targets"),
    ("/events", "Live events"),
    ("/audit?of=target", "Audit log"),
    ("/logs?run=last&channel=sync", "Logs"),
    ("/dead", "Dead jobs"),
    ("/runs/nothing", "Not there"),
];

fn every_page_is_sound(browser: &Browser) {
    for (path, title) in PAGES {
        browser.go(path);
        browser.wait_for_text("h1", title);
        is_sound_on_every_screen(browser);
    }
    browser.go("/runs?state=finished_held");
    assert_eq!(browser.run("return document.querySelectorAll('tbody tr').length", &[]), json!(1));
}

fn a_run_is_cancelled_and_a_lock_reset(browser: &Browser, rig: &mut Rig) {
    rig.worker(0).kill();
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    let posts = instances::ids(&rig.source(), "content/collections/posts").unwrap();

    let gate = proxy.hold_posts(0);
    let run = push_a_change(browser, rig, &posts[3]);
    gate.wait_for(1);
    browser.wait_for_text("#run-state", "running");
    browser.tab_to("#do-cancel");
    browser.press(Browser::SPACE);
    browser.wait_for_text("#run-state", "cancelled");
    gate.open();

    let gate = proxy.hold_posts(0);
    let other = push_a_change(browser, rig, &posts[4]);
    assert_ne!(other, run);
    gate.wait_for(1);
    browser.go("/targets");
    browser.tab_to("#check-target");
    browser.press(Browser::ENTER);
    wait_until("its lock is shown", || browser.has("#reset-target"));
    browser.tab_to("#reset-target");
    browser.press(Browser::ENTER);
    browser.wait_for_text("main", "held by run");
    is_sound_on_every_screen(browser);
    browser.tab_to("#reset");
    browser.press(Browser::ENTER);
    browser.wait_for_text("h1", "Targets");
    browser.go(&other);
    browser.wait_for_text("#run-state", "unlocked");
    gate.open();

    browser.go("/audit");
    for words in ["grant opened", "run ended", "anna at 127.0.0.1", "unlocked by anna"] {
        browser.wait_for_text("#audit", words);
    }
}

/// The page of its run.
fn push_a_change(browser: &Browser, rig: &Rig, post: &str) -> String {
    let_the_second_pass();
    instances::edit_item(&rig.source(), "posts", post, |post| post["title"] = json!("Changed again")).unwrap();
    plan_a_push(browser);
    browser.wait_for_text("#plan", "Create 0, update");
    browser.click("#run-it");
    wait_until("the run is shown", || browser.path().starts_with("/runs/"));
    browser.path()
}

fn everything_is_done_without_a_mouse(browser: &Browser, rig: &Rig, post: &str) {
    for path in PAGES.map(|(path, _)| path).into_iter().chain(["/", "/runs?state=finished_held"]) {
        browser.go(path);
        keyboard::everything_is_reached_by_tab(browser);
    }
    browser.click("tbody a");
    browser.wait_for_text("#run", "locked");
    keyboard::everything_is_reached_by_tab(browser);
    keyboard::the_focus_stays_where_it_is_when_a_part_is_replaced(browser);
    let_the_second_pass();
    instances::edit_item(&rig.source(), "posts", post, |post| post["title"] = json!("Without a mouse")).unwrap();
    keyboard::a_sync_is_planned_and_run(browser);
}

fn a_viewer_looks_and_the_api_refuses_the_rest(browser: &Browser, serving: &Serving) {
    browser.go("/runs");
    browser.click("tbody a");
    browser.wait_for_text("#run-state", "unlocked");
    assert!(browser.has("#do-retry"), "a manager has buttons");
    let run = browser.path();
    browser.forget_session();
    browser.go("/login");
    log_in(browser, serving.token("ben"));
    browser.go(&run);
    browser.wait_for_text("#run-state", "unlocked");
    for path in [&run, "/", "/sync", "/targets", "/dead"] {
        browser.go(path);
        let buttons =
            "return [...document.querySelectorAll('main form')].filter(form => form.method === 'post').length";
        assert_eq!(browser.run(buttons, &[]), json!(0), "{path} has something to press");
    }
    let refused = |path: &str| -> Value {
        browser.run_async(&format!(
            "const done = arguments[arguments.length - 1]; \
             fetch({path:?}, {{ method: 'POST' }}).then(async answer => done([answer.status, await answer.text()]))"
        ))
    };
    for path in [format!("{run}/retry"), "/targets/target/reset".into(), format!("/api{run}/cancel")] {
        let answer = refused(&path);
        assert_eq!(answer[0], 403, "{path}: {answer}");
        assert!(answer[1].as_str().unwrap().contains("sync/manage"), "{answer}");
    }
    browser.go("/events");
    browser.wait_for_text("#events", "sync.access.denied");
}

fn pages_can_be_read_in_the_dark(browser: &Browser, serving: &Serving) {
    browser.go("/login");
    assert_eq!(browser.run("return matchMedia('(prefers-color-scheme: dark)').matches", &[]), json!(true));
    browser.assert_is_sound();
    log_in(browser, serving.token("anna"));
    browser.wait_for_text("#overview", "healthy");
    browser.assert_is_sound();
    picture(browser, "overview-dark");
    every_page_is_sound(browser);
    browser.go("/runs?state=finished_held");
    browser.click("tbody a");
    browser.wait_for_text("#run", "locked");
    browser.assert_is_sound();
}
