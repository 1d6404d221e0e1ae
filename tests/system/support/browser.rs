//! A real browser, driven as a person would: Debian's chromium through its chromedriver. One for all that a test does.

use std::process::Command;
use std::time::{Duration, Instant};

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{PATIENCE, Process, wait_for};

/// https://github.com/dequelabs/axe-core 4.14.1, as it is published.
const AXE: &str = include_str!("axe/axe.min.js");

/// Fields are dropped in this order: the window is closed before its driver ends.
pub struct Browser {
    client: Option<Client>,
    runtime: Runtime,
    /// Where the pages are: "http://127.0.0.1:4711".
    pub base: String,
    _driver: Process,
    folder: TempDir,
}

impl Browser {
    pub const TAB: char = '\u{E004}';
    pub const ENTER: char = '\u{E007}';
    pub const SPACE: char = ' ';

    /// None, saying why, where there is no browser. With `dark` it is the browser of somebody who likes it dark.
    pub fn start(dark: bool) -> Option<Self> {
        for program in ["chromedriver", "chromium"] {
            if Command::new(program).arg("--version").output().is_err() {
                eprintln!("skipped: there is no {program} (Debian: apt-get install chromium chromium-driver)");
                return None;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let driver = Process::start(Command::new("chromedriver").arg("--port=0"), folder.path(), "chromedriver");
        let port = wait_for("chromedriver listens", || {
            let said = driver.stdout();
            let (_, rest) = said.split_once("started successfully on port ")?;
            rest.split_once('.').map(|(port, _)| port.to_owned())
        });
        let profile = folder.path().join("profile");
        let arguments = [
            "--headless=new",
            // As root, and in containers, there is no sandbox; it shows nothing but our own pages.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-first-run",
            "--no-proxy-server",
            "--hide-scrollbars",
            "--window-size=1200,900",
            &format!("--user-data-dir={}", profile.display()),
            &format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)),
        ];
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".into(), json!({ "args": arguments }));
        let runtime = Runtime::new().unwrap();
        let connector = hyper_util::client::legacy::connect::HttpConnector::new();
        let mut builder = ClientBuilder::new(connector);
        let address = format!("http://127.0.0.1:{port}");
        let connecting = builder.capabilities(capabilities).connect(&address);
        let client = runtime.block_on(connecting).unwrap_or_else(|error| panic!("chromium does not start: {error}"));
        Some(Self { client: Some(client), runtime, base: String::new(), _driver: driver, folder })
    }

    fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    pub fn go(&self, path: &str) {
        let url = format!("{}{path}", self.base);
        self.runtime.block_on(self.client().goto(&url)).unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    pub fn path(&self) -> String {
        self.runtime.block_on(self.client().current_url()).unwrap().path().to_owned()
    }

    fn find(&self, css: &str) -> Result<Element, CmdError> {
        self.runtime.block_on(self.client().find(Locator::Css(css)))
    }

    pub fn has(&self, css: &str) -> bool {
        self.find(css).is_ok()
    }

    /// Does something with an element as soon as it is there. Live pages replace their parts, so it may be gone again
    /// meanwhile.
    #[track_caller]
    fn with<T>(&self, css: &str, act: impl AsyncFn(&Element) -> Result<T, CmdError>) -> T {
        let begun = Instant::now();
        loop {
            let done = self.find(css).and_then(|element| self.runtime.block_on(act(&element)));
            match done {
                Ok(done) => return done,
                Err(_) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(50)),
                Err(error) => panic!("{css} on {}: {error}\n{}", self.path(), self.page_text()),
            }
        }
    }

    #[track_caller]
    pub fn click(&self, css: &str) {
        self.with(css, async |element: &Element| element.click().await);
    }

    /// A key, for whatever has the focus.
    pub fn press(&self, key: char) {
        let keys = KeyActions::new("keys".into());
        let pressed = keys.then(KeyAction::Down { value: key }).then(KeyAction::Up { value: key });
        self.runtime.block_on(self.client().perform_actions(pressed)).unwrap();
    }

    /// As somebody without a mouse gets there.
    #[track_caller]
    pub fn tab_to(&self, css: &str) {
        for _ in 0..200 {
            self.press(Self::TAB);
            if self.run("return document.activeElement.matches(arguments[0])", &[json!(css)]) == json!(true) {
                return;
            }
        }
        panic!("Tab never leads to {css} on {}:\n{}", self.path(), self.page_text());
    }

    /// Fills in a field.
    #[track_caller]
    pub fn fill(&self, css: &str, text: &str) {
        self.with(css, async |element: &Element| {
            element.clear().await?;
            element.send_keys(text).await
        });
    }

    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        self.with(css, async |element: &Element| element.text().await)
    }

    #[track_caller]
    pub fn attribute(&self, css: &str, name: &str) -> String {
        self.with(css, async |element: &Element| element.attr(name).await).unwrap_or_default()
    }

    /// Waits, without loading the page anew, until it says so.
    #[track_caller]
    pub fn wait_for_text(&self, css: &str, wanted: &str) {
        let begun = Instant::now();
        while !self.text(css).contains(wanted) {
            assert!(
                begun.elapsed() < PATIENCE,
                "{css} on {} never says {wanted:?}:\n{}",
                self.path(),
                self.page_text()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn page_text(&self) -> String {
        self.run("return document.body.innerText", &[]).as_str().unwrap_or_default().to_owned()
    }

    pub fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.runtime.block_on(self.client().execute(script, arguments.to_vec())).unwrap()
    }

    /// Of a script that calls its last argument with its answer.
    pub fn run_async(&self, script: &str) -> Value {
        self.runtime.block_on(self.client().execute_async(script, Vec::new())).unwrap()
    }

    pub fn forget_session(&self) {
        self.runtime.block_on(self.client().delete_all_cookies()).unwrap();
    }

    pub fn resize(&self, width: u32, height: u32) {
        self.runtime.block_on(self.client().set_window_size(width, height)).unwrap();
    }

    pub fn screenshot(&self) -> Vec<u8> {
        self.runtime.block_on(self.client().screenshot()).unwrap()
    }

    /// The page is what everybody can use: labels, contrast, order of headings, names of what can be pressed. It asks no
    /// other host and is small.
    #[track_caller]
    pub fn assert_is_sound(&self) {
        let path = self.path();
        self.run(AXE, &[]);
        let found = self.run_async(
            "const done = arguments[arguments.length - 1]; \
             axe.run({ resultTypes: ['violations'] }).then(found => done(found.violations.map(one => \
             one.id + ': ' + one.help + ' ' + one.nodes.map(node => node.html + ' ' + node.failureSummary).join(' | '))))",
        );
        assert_eq!(found, json!([]), "{path}");
        let loaded = self.run(
            "return performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation')) \
             .filter(one => one.initiatorType !== 'fetch').map(one => [one.name, one.decodedBodySize])",
            &[],
        );
        let mut bytes = 0;
        for one in loaded.as_array().unwrap() {
            let name = one[0].as_str().unwrap();
            assert!(name.starts_with(&self.base), "{path} asks another host: {name}");
            bytes += one[1].as_u64().unwrap();
        }
        assert!((1..100_000).contains(&bytes), "{path} has {bytes} bytes with what it loads");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let _closed = self.runtime.block_on(client.close());
        }
        if std::thread::panicking() {
            eprintln!("the browser's profile was in {}", self.folder.path().display());
        }
    }
}
