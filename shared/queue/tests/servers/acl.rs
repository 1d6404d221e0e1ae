//! A user who may do what docs/redis.md lists, and nothing else.

use queue::Server;
use servers::Program;

use crate::life::{live, refusal, warnings};

/// `ACL SETUSER` as it stands in the document.
fn line() -> &'static str {
    let text = include_str!("../../../../docs/redis.md");
    text.lines().find(|line| line.starts_with("ACL SETUSER ")).expect("the document has the line")
}

struct Restricted(servers::Server);

impl Restricted {
    fn start() -> Self {
        let server = servers::Server::start(&Program::of_this_system(), &[]);
        server.ask::<()>(line());
        Self(server)
    }

    /// Changes the user, as if the line went on.
    fn change(&self, rule: &str) {
        self.0.ask::<()>(&format!("ACL SETUSER {} {rule}", Self::user()));
    }

    fn user() -> &'static str {
        line().split(' ').nth(2).unwrap()
    }

    fn server(&self) -> Server {
        let password = line().split(' ').find_map(|word| word.strip_prefix('>')).unwrap();
        Server { username: Some(Self::user().into()), password: Some(password.into()), ..Server::at(self.0.url()) }
    }
}

#[tokio::test]
async fn the_documented_permissions_are_enough() {
    let restricted = Restricted::start();
    for resp3 in [false, true] {
        live(Server { resp3, ..restricted.server() }).await;
    }
    // Whatever the queue did was allowed.
    let denied: Vec<redis::Value> = restricted.0.ask("ACL LOG");
    assert!(denied.is_empty(), "{denied:?}");
}

/// A script that meets a command it may not use would end half way.
#[tokio::test]
async fn a_user_who_lacks_a_permission_is_refused_with_its_name() {
    let restricted = Restricted::start();
    let allowed = line().split(' ').filter_map(|word| word.strip_prefix('+'));
    for command in allowed.filter(|command| *command != "info" && !command.starts_with("cluster")) {
        restricted.change(&format!("-{command}"));
        let said = refusal(restricted.server()).await;
        assert!(said.contains(command), "without {command}: {said}");
        restricted.change(&format!("+{command}"));
    }
    restricted.change("resetkeys ~other:*");
    let said = refusal(restricted.server()).await;
    assert!(said.contains("no permissions to access") && said.contains("docs/redis.md"), "{said}");
    restricted.change("resetkeys ~{cs}* resetchannels");
    let said = refusal(restricted.server()).await;
    assert!(said.contains("publish, subscribe on keys and channels that begin with {cs}"), "{said}");
    restricted.change("&{cs}* -info");
    let said = warnings(restricted.server()).await;
    assert!(said[0].contains("INFO") && said[0].contains("could not be checked"), "{said:?}");
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_one_are_said_in_words() {
    let restricted = Restricted::start();
    let place = format!("127.0.0.1:{}", restricted.0.port());
    let wrong = Server { password: Some("wrong".into()), ..restricted.server() };
    let said = refusal(wrong).await;
    assert!(said.contains(&format!("{place} refuses this password for the user \"cockpit-sync\"")), "{said}");
    restricted.0.ask::<()>("CONFIG SET requirepass somebody-elses");
    let said = refusal(Server::at(restricted.0.url())).await;
    assert!(said.contains(&format!("{place} wants a password for the user \"default\"")), "{said}");
}
