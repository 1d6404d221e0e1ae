//! Mails.

use servers::{MailServer, free_port};

use crate::{bring, entry, finished};

fn to(recipient: &str, port: u16, more: &str) -> notifying::Entry {
    entry(&format!(
        "name = 'team'\nevent = '*'\n[mail]\nserver = 'smtp://anna:hush@127.0.0.1:{port}'\n\
         from = 'Sync <sync@example.com>'\nto = ['{recipient}', 'Ben <ben@example.com>']\n{more}"
    ))
}

#[tokio::test]
async fn a_mail_tells_the_event_as_text_and_as_html_to_all_recipients() {
    let port = free_port();
    let server = MailServer::start(port);
    let entry = to("anna@example.com", port, "");
    let notice = bring(&entry, &finished()).await.unwrap();
    bring(&entry, &finished()).await.unwrap();

    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(
        (mails[0].from.as_str(), &mails[0].to[..]),
        ("sync@example.com", &["anna@example.com".to_owned(), "ben@example.com".into()][..])
    );
    let subject = "[cockpit-sync] push staging -> production: finished_held, 3 held";
    assert_eq!(mails[0].header("subject"), Some(subject));
    // Sent twice, it is the same mail.
    assert_eq!(mails[0].header("message-id"), Some(format!("<{}@cockpit-sync>", notice.id).as_str()));
    assert_eq!(mails[0].header("message-id"), mails[1].header("message-id"));
    let data = &mails[0].data;
    assert!(data.contains("text/plain") && data.contains("text/html"), "{data}");
    assert!(data.contains("started by: anna on <web1>") && data.contains("content/posts/created: 20"), "{data}");
    assert!(data.contains("anna on &lt;web1&gt;") && !data.contains("hush"), "{data}");
}

#[tokio::test]
async fn templates_are_filled_in_from_the_event_and_what_it_lacks_is_empty() {
    let port = free_port();
    let server = MailServer::start(port);
    let more = "subject = '{{ state }} on {{ target.name }}{{ schedule.name }}'\ntext = 'held: {{ counts.held }}'\n\
                html = '<b>{{ started_by }}</b>'\n";
    bring(&to("anna@example.com", port, more), &finished()).await.unwrap();
    let mail = &server.mails()[0];
    assert_eq!(mail.header("subject"), Some("finished_held on production"));
    assert!(mail.data.contains("held: 3") && mail.data.contains("<b>anna on &lt;web1&gt;</b>"), "{}", mail.data);
}

#[tokio::test]
async fn what_a_server_refuses_for_good_is_not_tried_again_and_one_that_is_down_is() {
    let port = free_port();
    let entry = to("nobody@example.com", port, "");
    let down = bring(&entry, &finished()).await.unwrap_err();
    assert!(!down.lasting && !down.why.contains("hush"), "{down:?}");
    let _server = MailServer::start(port);
    let refused = bring(&entry, &finished()).await.unwrap_err();
    assert!(refused.lasting && refused.why.contains("no such mailbox"), "{refused:?}");
}
