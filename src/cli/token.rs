//! `token`: makes a token for somebody who is to use `serve`.

use producer::Problem;
use serde_json::json;

use super::Output;

#[derive(Debug, clap::Args)]
pub struct Token {
    /// The user's name: letters, digits, '-' and '_'
    name: String,
}

impl Token {
    pub fn run(self, output: &Output) -> Result<u8, Problem> {
        let Self { name } = self;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err(Problem::usage("a user's name takes letters, digits, '-' and '_'"));
        }
        let serve::access::NewToken { token, hash } = serve::access::new_token(&name);
        output.print(&json!({ "user": name, "token": token, "token_hash": hash }), || {
            format!(
                "for {name}, shown only now:\n\n  {token}\n\nfor the config, with role sync/manage, sync/view or sync/hook:\n\n\
                 [user.{name}]\nrole       = \"sync/view\"\ntoken_hash = '{hash}'"
            )
        })?;
        Ok(0)
    }
}
