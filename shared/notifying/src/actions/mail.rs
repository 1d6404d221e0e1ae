//! A mail, as text and as HTML.

use lettre::message::{Mailbox, MultiPart};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde::Deserialize;

use super::{Failure, PATIENCE};
use crate::Notice;
use crate::templates::Template;

const SUBJECT: &str = "[cockpit-sync] {{ summary }}";
const TEXT: &str = include_str!("../templates/mail.txt");
const HTML: &str = include_str!("../templates/mail.html");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailSettings {
    /// `smtps://USER:PASSWORD@HOST`
    server: String,
    from: String,
    to: Recipients,
    subject: Option<String>,
    text: Option<String>,
    html: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Recipients {
    One(String),
    More(Vec<String>),
}

pub(crate) struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    subject: Template,
    text: Template,
    html: Template,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mail(...)")
    }
}

impl Mail {
    pub fn new(settings: MailSettings) -> Result<Self, String> {
        let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(&settings.server).map_err(|_| {
            "server must be smtps://USER:PASSWORD@HOST, smtp://USER:PASSWORD@HOST?tls=required (STARTTLS) or smtp://HOST"
        })?;
        let recipients = match settings.to {
            Recipients::One(address) => vec![address],
            Recipients::More(addresses) => addresses,
        };
        if recipients.is_empty() {
            return Err("to names nobody".into());
        }
        let to: Result<_, _> = recipients.iter().map(|address| mailbox("to", address)).collect();
        Ok(Self {
            transport: server.timeout(Some(PATIENCE)).build(),
            from: mailbox("from", &settings.from)?,
            to: to?,
            subject: Template::new("subject", settings.subject.as_deref().unwrap_or(SUBJECT))?,
            text: Template::new("text", settings.text.as_deref().unwrap_or(TEXT))?,
            html: Template::new("html", settings.html.as_deref().unwrap_or(HTML))?,
        })
    }

    pub async fn send(&self, notice: &Notice) -> Result<(), Failure> {
        let subject = self.subject.render(notice)?.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut message = Message::builder()
            // The same whenever it is sent again, so that mail programs can tell.
            .message_id(Some(format!("<{}@cockpit-sync>", notice.id)))
            .from(self.from.clone())
            .subject(subject);
        for recipient in &self.to {
            message = message.to(recipient.clone());
        }
        let body = MultiPart::alternative_plain_html(self.text.render(notice)?, self.html.render(notice)?);
        let unfit = |error: lettre::error::Error| Failure { lasting: true, ..Failure::new(error.to_string()) };
        let message = message.multipart(body).map_err(unfit)?;
        self.transport.send(message).await.map(drop).map_err(|error| Failure {
            lasting: error.is_permanent(),
            ..Failure::new(format!("the mail server: {error}"))
        })
    }
}

fn mailbox(field: &str, address: &str) -> Result<Mailbox, String> {
    address
        .parse()
        .map_err(|_| format!("{field}: {address:?} is no address (\"a@b.example\" or \"Anna <a@b.example>\")"))
}
