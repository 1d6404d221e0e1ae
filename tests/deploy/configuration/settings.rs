//! All settings, in the words of docs/configuration.md. Whether there are these and no others, is asked of those who read them.

pub struct Table {
    /// As it stands in the file.
    pub head: &'static str,
    pub about: &'static str,
    /// Lines that an example is not complete without.
    pub needs: &'static str,
    pub settings: &'static [Setting],
}

pub struct Setting {
    pub name: &'static str,
    pub kind: &'static str,
    pub default: Default,
    pub meaning: &'static str,
    /// Lines of its table.
    pub example: &'static str,
}

pub enum Default {
    /// It has to be there, or one that can take its place.
    Needed,
    /// What this means, is said with the meaning.
    Nothing,
    /// The same as if this was written.
    Value(&'static str),
}

use Default::{Needed, Nothing, Value};

const fn setting(
    name: &'static str,
    kind: &'static str,
    default: Default,
    meaning: &'static str,
    example: &'static str,
) -> Setting {
    Setting { name, kind, default, meaning, example }
}

/// Of cockpit-sync.toml.
pub const CONFIG: &[Table] = &[
    Table {
        head: "",
        about: "At the top of the file, before the first table.",
        needs: "",
        settings: &[
            setting(
                "local",
                "name of an instance",
                Needed,
                "what `push` reads from and `pull` writes to",
                "local = \"staging\"",
            ),
            setting(
                "redis",
                "URL, or the table `[redis]`",
                Nothing,
                "where the queue is: `redis://`, `rediss://`, `unix://`. Without: a command brings a Redis of its own, for instances on this machine",
                "redis = \"redis://10.0.0.5:6379\"",
            ),
        ],
    },
    Table {
        head: "[redis]",
        about: "Instead of a URL, for what a URL cannot say: [redis.md](redis.md).",
        needs: "url = \"rediss://10.0.0.5:6379\"",
        settings: &[
            setting(
                "url",
                "URL",
                Needed,
                "one server; or `sentinels`, or `cluster`",
                "url = \"rediss://10.0.0.5:6379\"",
            ),
            setting(
                "sentinels",
                "list of URLs",
                Nothing,
                "sentinels that know the server",
                "sentinels = [\"redis://10.0.0.5:26379\", \"redis://10.0.0.6:26379\"]\nmaster = \"content\"",
            ),
            setting(
                "master",
                "text",
                Nothing,
                "what the sentinels call it; belongs to `sentinels`",
                "sentinels = [\"redis://10.0.0.5:26379\"]\nmaster = \"content\"",
            ),
            setting(
                "cluster",
                "list of URLs",
                Nothing,
                "some nodes of a cluster",
                "cluster = [\"redis://10.0.0.5:6379\", \"redis://10.0.0.6:6379\"]",
            ),
            setting(
                "username",
                "text",
                Nothing,
                "without: Redis' default user",
                "username = \"cockpit-sync\"\npassword = \"${REDIS_PASSWORD}\"",
            ),
            setting("password", "secret", Nothing, "of that user", "password = \"${REDIS_PASSWORD}\""),
            setting(
                "password_file",
                "file",
                Nothing,
                "the password is its first line",
                "password_file = \"/run/secrets/redis\"",
            ),
            setting(
                "ca",
                "PEM file",
                Nothing,
                "this authority is believed, and no other. Without: those of the system",
                "ca = \"ca.pem\"",
            ),
            setting(
                "cert",
                "PEM file",
                Nothing,
                "our certificate; belongs to `key`",
                "cert = \"us.pem\"\nkey = \"us.key\"",
            ),
            setting("key", "PEM file", Nothing, "its key", "cert = \"us.pem\"\nkey = \"us.key\""),
            setting("protocol", "2 or 3", Value("2"), "version of Redis' protocol", "protocol = 3"),
        ],
    },
    Table {
        head: "[instance.production]",
        about: "One for each Cockpit; its name stands for it in commands, letters, digits, `-` and `_`. Its own `agent` is the table `[agent]` below, \
                as `[instance.NAME.agent]`, for instances given by `path`.",
        needs: "url = \"https://cms.example.com\"\nsync_key = \"${PRODUCTION_SYNC_KEY}\"",
        settings: &[
            setting(
                "url",
                "URL",
                Needed,
                "of the Cockpit, which its agent stands behind; or `path`",
                "url = \"https://cms.example.com\"",
            ),
            setting(
                "path",
                "folder",
                Needed,
                "of the Cockpit on this machine, without `redis`; or `url`",
                "path = \"/var/www/production\"",
            ),
            setting(
                "sync_key",
                "secret",
                Needed,
                "a key that the agent accepts, with `url`; or `sync_key_file`",
                "sync_key = \"${PRODUCTION_SYNC_KEY}\"",
            ),
            setting(
                "sync_key_file",
                "file",
                Needed,
                "the key is its first line",
                "sync_key_file = \"/run/secrets/production\"",
            ),
            setting("push", "true or false", Value("false"), "it may be pushed to", "push = true"),
            setting("pull", "true or false", Value("false"), "it may be pulled from", "pull = true"),
            setting(
                "protect",
                "true or false",
                Value("false"),
                "mirror, undo and unlock ask for its name",
                "protect = true",
            ),
            setting(
                "allow_http",
                "true or false",
                Value("false"),
                "content may travel to it unencrypted, beyond this machine",
                "allow_http = true",
            ),
            setting(
                "ca",
                "PEM file",
                Nothing,
                "this authority is believed, and no other. Without: those of the system",
                "ca = \"ca.pem\"",
            ),
            setting(
                "client_cert",
                "PEM file",
                Nothing,
                "our certificate; belongs to `client_key`",
                "client_cert = \"us.pem\"\nclient_key = \"us.key\"",
            ),
            setting("client_key", "PEM file", Nothing, "its key", "client_cert = \"us.pem\"\nclient_key = \"us.key\""),
            setting("agent", "table", Nothing, "what its agent allows, if we start it", "agent = { read_only = true }"),
        ],
    },
    Table {
        head: "[queue]",
        about: "The same for all processes of a deployment.",
        needs: "",
        settings: &[
            setting(
                "prefix",
                "text",
                Value("\"cs\""),
                "what the names of all keys in Redis begin with: deployments with other prefixes do not see each other",
                "prefix = \"website\"",
            ),
            setting(
                "lease_ms",
                "500 to 600000",
                Value("15000"),
                "so long after its last sign of life a worker's jobs go to others",
                "lease_ms = 5000",
            ),
            setting(
                "retention_days",
                "number",
                Value("7"),
                "runs that are over are kept so long",
                "retention_days = 30",
            ),
        ],
    },
    Table {
        head: "[conflicts]",
        about: "What becomes of what was changed on both sides since they were the same: [choosing.md](choosing.md).",
        needs: "",
        settings: &[
            setting(
                "default",
                "`source`, `target`, `newest` or `hold`",
                Value("\"source\""),
                "whose version stays",
                "default = \"newest\"",
            ),
            setting(
                "models",
                "table",
                Value("{}"),
                "the same for single models, `assets`, `folders`, `locales`",
                "models = { posts = \"hold\", assets = \"source\" }",
            ),
        ],
    },
    Table {
        head: "[transform.content.posts]",
        about: "How documents are changed on their way, by resource, or by resource and model: [transforms.md](transforms.md).",
        needs: "before = \"del(._internalNotes)\"",
        settings: &[
            setting("on", "`push` or `pull`", Nothing, "only in this direction. Without: in both", "on = \"pull\""),
            setting(
                "before",
                "filter of jq",
                Nothing,
                "what comes out of it is compared and written",
                "before = \"del(._internalNotes)\"",
            ),
            setting("command", "name of a `[command]`", Nothing, "a program that does the same", "command = \"tidy\""),
            setting(
                "masks",
                "list of tables",
                Value("[]"),
                "what must not arrive: `field` (a pattern; without: all), `with` (`drop`, `null`, `hash`, `fake-email`, `replace-host` with `from` and `to`)",
                "masks = [{ field = \"email\", with = \"fake-email\" }]",
            ),
        ],
    },
    Table {
        head: "[command.tidy]",
        about: "A program that transforms may name.",
        needs: "run = [\"php\", \"tidy.php\"]",
        settings: &[
            setting(
                "run",
                "list of texts",
                Needed,
                "the program and its arguments; no shell",
                "run = [\"php\", \"tidy.php\"]",
            ),
            setting("time_limit_ms", "1 to 600000", Value("10000"), "for one document", "time_limit_ms = 2000"),
        ],
    },
    Table {
        head: "[resource.shop]",
        about: "Collections of add-ons: [transforms.md](transforms.md).",
        needs: "collections = [\"shop/*\"]",
        settings: &[
            setting(
                "collections",
                "list of patterns",
                Needed,
                "names as Cockpit's code has them; `*` is any text. Of `pages`, `lokalize` and `layout` they are known",
                "collections = [\"shop/*\"]",
            ),
            setting(
                "id",
                "name of a field",
                Nothing,
                "by which documents are recognised. Without: `_id`",
                "id = \"sku\"",
            ),
            setting(
                "merge",
                "`replace` or `missing-keys`",
                Nothing,
                "what becomes of a document that the target has. Without: `replace`. `--missing-keys-only` and `--override` go before it",
                "merge = \"missing-keys\"",
            ),
        ],
    },
    Table {
        head: "[serve]",
        about: "TLS that `serve` ends itself; without it plain HTTP: [serve.md](serve.md).",
        needs: "tls_cert = \"serve.pem\"\ntls_key = \"serve.key\"",
        settings: &[
            setting(
                "tls_cert",
                "PEM file",
                Nothing,
                "its certificate; belongs to `tls_key`",
                "tls_cert = \"serve.pem\"\ntls_key = \"serve.key\"",
            ),
            setting(
                "tls_key",
                "PEM file",
                Nothing,
                "the certificate's key",
                "tls_cert = \"serve.pem\"\ntls_key = \"serve.key\"",
            ),
            setting(
                "tls_client_ca",
                "PEM file",
                Nothing,
                "who asks needs a certificate of this authority",
                "tls_cert = \"serve.pem\"\ntls_key = \"serve.key\"\ntls_client_ca = \"callers.pem\"",
            ),
        ],
    },
    Table {
        head: "[user.anna]",
        about: "Who may use `serve`; without any it answers on this machine only: [serve.md](serve.md).",
        needs: "role = \"sync/view\"\ntoken_hash = \"${ANNA_TOKEN_HASH}\"",
        settings: &[
            setting(
                "role",
                "`sync/manage`, `sync/view` or `sync/hook`",
                Needed,
                "everything, look only, call hooks only",
                "role = \"sync/manage\"",
            ),
            setting(
                "token_hash",
                "text",
                Needed,
                "as `cockpit-sync token NAME` prints it",
                "token_hash = \"${ANNA_TOKEN_HASH}\"",
            ),
        ],
    },
    Table {
        head: "[hook.cockpit]",
        about: "What is saved in the CMS is pushed: [serve.md](serve.md).",
        needs: "target = \"production\"",
        settings: &[
            setting("target", "name of an instance", Needed, "where to", "target = \"production\""),
            setting(
                "with_assets",
                "true or false",
                Value("true"),
                "also the assets that items embed",
                "with_assets = false",
            ),
            setting(
                "models",
                "list of texts",
                Nothing,
                "items of others are left alone. Without: all",
                "models = [\"posts\"]",
            ),
        ],
    },
    Table {
        head: "[[schedule]]",
        about: "What `serve` runs by itself: [schedules.md](schedules.md). Beside these settings: those of presets, `preset`, `jobs`, `on_conflict`, \
                `accept_schema_changes`, `on_locked`.",
        needs: "name = \"nightly\"\ncron = \"0 3 * * *\"\npush = \"production\"",
        settings: &[
            setting("name", "text", Needed, "letters, digits, `-` and `_`; each once", "name = \"nightly\""),
            setting("cron", "text", Needed, "five fields, or six with seconds first", "cron = \"0 3 * * *\""),
            setting("time_zone", "text", Value("\"UTC\""), "that `cron` is meant in", "time_zone = \"Europe/Berlin\""),
            setting("push", "name of an instance", Needed, "where to; or `pull`", "push = \"production\""),
            setting("pull", "name of an instance", Needed, "where from; or `push`", "pull = \"production\""),
            setting(
                "catch_up",
                "`none` or `once`",
                Value("\"none\""),
                "what becomes of ticks at which nobody was there",
                "catch_up = \"once\"",
            ),
            setting(
                "overlap",
                "`skip` or `queue`",
                Value("\"skip\""),
                "what becomes of a tick while the run before is not over",
                "overlap = \"queue\"",
            ),
            setting("jitter", "time", Nothing, "each tick is late by up to so much", "jitter = \"10m\""),
            setting(
                "yes_i_mean",
                "name of an instance",
                Nothing,
                "the target again, where it is protected and the schedule mirrors",
                "yes_i_mean = \"production\"",
            ),
        ],
    },
    Table {
        head: "[[on]]",
        about: "What is done when something happens: [notifications.md](notifications.md). Each has one of the four actions.",
        needs: "name = \"team\"\nevent = \"sync.*.finished\"\nlog = \"info\"",
        settings: &[
            setting("name", "text", Needed, "letters, digits, `-` and `_`; each once", "name = \"team\""),
            setting(
                "event",
                "pattern, or a list",
                Needed,
                "names of [events.md](events.md); `*` is any text",
                "event = [\"sync.*.finished\", \"sync.run.failed\"]",
            ),
            setting("target", "pattern, or a list", Nothing, "only of these. Without: all", "target = \"production\""),
            setting(
                "state",
                "pattern, or a list",
                Nothing,
                "only with these. Without: all",
                "state = [\"finished_held\", \"failed\"]",
            ),
            setting("log", "`info`, `warn` or `error`", Needed, "a line in the log", "log = \"warn\""),
            setting(
                "exec",
                "table",
                Needed,
                "a program: `run` (list), `time_limit_ms` (60000)",
                "exec = { run = [\"/usr/local/bin/warm-up\"], time_limit_ms = 30000 }",
            ),
            setting(
                "webhook",
                "table",
                Needed,
                "a POST: `url`, `secret`, `preset` (`json`, `slack`), `headers`, `text`",
                "webhook = { url = \"https://hooks.example.com/x\", secret = \"${HOOK_SECRET}\" }",
            ),
            setting(
                "mail",
                "table",
                Needed,
                "`server`, `from`, `to`, `subject`, `text`, `html`",
                "mail = { server = \"smtps://sync:${SMTP_PASSWORD}@mail.example.com\", from = \"sync@example.com\", to = \"team@example.com\" }",
            ),
        ],
    },
];

/// Of agent.toml.
pub const AGENT: Table = Table {
    head: "[agent]",
    about: "What an agent allows, whoever asks: [agent.md](agent.md). Paths are whole ones.",
    needs: "",
    settings: &[
        setting("read_only", "true or false", Value("false"), "no writes", "read_only = true"),
        setting(
            "directions",
            "list of `source`, `target`",
            Value("[\"source\", \"target\"]"),
            "which end of a sync it may be",
            "directions = [\"source\"]",
        ),
        setting(
            "allow",
            "list of addresses and networks",
            Nothing,
            "who may talk to it. Without: everybody with a key",
            "allow = [\"10.0.0.0/8\", \"::1\"]",
        ),
        setting(
            "trusted_proxies",
            "list of addresses and networks",
            Value("[]"),
            "whose `X-Forwarded-For` is believed",
            "trusted_proxies = [\"127.0.0.1\"]",
        ),
        setting(
            "rate_limit",
            "number in a time",
            Nothing,
            "requests of each key. Without: any number",
            "rate_limit = \"200/s\"",
        ),
        setting(
            "failed_attempts",
            "number in a time",
            Value("\"30/m\""),
            "attempts of each address with a wrong key that are looked at",
            "failed_attempts = \"5/h\"",
        ),
        setting(
            "models",
            "list of texts",
            Nothing,
            "only these are read and written. Without: all",
            "models = [\"posts\", \"pages\"]",
        ),
        setting(
            "read_models",
            "list of texts",
            Nothing,
            "content of these only may leave. Without: as `models`",
            "read_models = [\"posts\", \"pages\"]",
        ),
        setting(
            "write_models",
            "list of texts",
            Nothing,
            "these only may be changed. Without: as `models`",
            "write_models = [\"posts\"]",
        ),
        setting("delete", "true or false", Value("true"), "mirrors may delete", "delete = false"),
        setting("max_delete", "number or share", Nothing, "the most that one run may delete", "max_delete = \"10%\""),
        setting("undo_days", "0 to 3650", Value("7"), "what runs overwrote is kept so long", "undo_days = 30"),
        setting("undo_size", "size", Value("\"1GiB\""), "and never more of it. 0: nothing", "undo_size = \"200MiB\""),
        setting(
            "keys",
            "list of secrets or tables",
            Value("[]"),
            "accepted keys. A table has `key` or `key_file`, and `id`, `purpose` (`check`, `read`, `write`), `from`, `until`",
            "keys = [\"${OLD_KEY}\", { id = \"reporting\", key = \"${NEW_KEY}\", purpose = \"read\", until = \"2027-01-01\" }]",
        ),
        setting(
            "metrics_token",
            "secret",
            Nothing,
            "who has it may look at /metrics from elsewhere",
            "metrics_token = \"${METRICS_TOKEN}\"",
        ),
        setting(
            "metrics_token_file",
            "file",
            Nothing,
            "the token is its first line",
            "metrics_token_file = \"/run/secrets/metrics\"",
        ),
        setting(
            "on",
            "list of tables",
            Value("[]"),
            "what is done after a run that wrote here, as `[[on]]` of cockpit-sync.toml",
            "on = [{ name = \"flush\", exec = { run = [\"/usr/local/bin/flush\"] } }]",
        ),
        setting(
            "tls_cert",
            "PEM file",
            Nothing,
            "it ends TLS itself; belongs to `tls_key`",
            "tls_cert = \"/etc/ssl/cms.pem\"\ntls_key = \"/etc/ssl/cms.key\"",
        ),
        setting(
            "tls_key",
            "PEM file",
            Nothing,
            "the certificate's key",
            "tls_cert = \"/etc/ssl/cms.pem\"\ntls_key = \"/etc/ssl/cms.key\"",
        ),
        setting(
            "tls_client_ca",
            "PEM file",
            Nothing,
            "callers need a certificate of this authority",
            "tls_cert = \"/etc/ssl/cms.pem\"\ntls_key = \"/etc/ssl/cms.key\"\ntls_client_ca = \"/etc/ssl/callers.pem\"",
        ),
        setting(
            "storage",
            "folder",
            Nothing,
            "Cockpit's storage. Without: as its config says",
            "storage = \"/mnt/storage\"",
        ),
        setting("data", "folder", Nothing, "its databases. Without: as its config says", "data = \"/mnt/data\""),
        setting(
            "uploads",
            "folder",
            Nothing,
            "files of assets. Without: as its config says",
            "uploads = \"/mnt/uploads\"",
        ),
        setting("tmp", "folder", Nothing, "its temporary files. Without: as its config says", "tmp = \"/mnt/tmp\""),
        setting(
            "memory",
            "file",
            Nothing,
            "its cache in memory. Without: as its config says",
            "memory = \"/mnt/app.memory.sqlite\"",
        ),
    ],
};

/// Variables of the environment, what they stand for.
pub const VARIABLES: &[(&str, &str)] = &[
    ("COCKPIT_SYNC_CONFIG", "the config, where no `--config` is given; without: `cockpit-sync.toml` in this folder"),
    ("COCKPIT_SYNC_KEY", "of an agent: a key it accepts"),
    ("COCKPIT_SYNC_LOG", "as `--log`: level and channels of the log"),
    ("COCKPIT_SYNC_LOG_FORMAT", "as `--log-format`: text or json"),
    ("COCKPIT_SYNC_METRICS_TOKEN", "of worker and `serve`: who has it may look at /metrics from elsewhere"),
];
