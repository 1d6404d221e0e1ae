//! deploy/kubernetes: what a cluster is told.

use serde_json::Value;

use crate::{files, is_understood, read_config, words, yaml};

fn objects() -> Vec<Value> {
    let texts = files("kubernetes").into_iter().map(|file| std::fs::read_to_string(file).unwrap());
    texts.flat_map(|text| yaml::documents(&text)).collect()
}

fn one<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

fn pod(object: &Value) -> &Value {
    &object["spec"]["template"]["spec"]
}

#[test]
fn every_command_of_the_manifests_is_understood() {
    let objects = objects();
    for name in ["cockpit-sync-worker", "cockpit-sync-serve"] {
        let container = &pod(one(&objects, "Deployment", name))["containers"][0];
        let arguments = words(&container["args"]);
        is_understood(&arguments);
        let port = container["ports"][0]["containerPort"].as_u64().unwrap();
        assert!(arguments.last().unwrap().ends_with(&format!(":{port}")), "{name} listens elsewhere: {arguments:?}");
        for probe in ["livenessProbe", "readinessProbe"] {
            let asks = words(&container[probe]["exec"]["command"]);
            assert!(asks.last().unwrap().contains(&format!(":{port}/")), "{name} is asked elsewhere: {asks:?}");
        }
    }
}

#[test]
fn no_pod_runs_as_root_or_writes_to_its_root_file_system() {
    let mut pods = 0;
    for object in objects().iter().filter(|object| pod(object).is_object()) {
        let name = &object["metadata"]["name"];
        assert_eq!(pod(object)["securityContext"]["runAsNonRoot"], true, "{name}");
        assert!(pod(object)["securityContext"]["runAsUser"].as_u64().unwrap() > 0, "{name}");
        for container in pod(object)["containers"].as_array().unwrap() {
            let rules = &container["securityContext"];
            assert_eq!(rules["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(rules["allowPrivilegeEscalation"], false, "{name}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        }
        pods += 1;
    }
    assert_eq!(pods, 3, "redis, worker, serve");
}

#[test]
fn the_config_map_is_a_config_that_names_the_redis_service() {
    let objects = objects();
    let text = one(&objects, "ConfigMap", "cockpit-sync")["data"]["cockpit-sync.toml"].as_str().unwrap();
    let variables = ["REDIS_PASSWORD", "STAGING_SYNC_KEY", "PRODUCTION_SYNC_KEY", "ADMIN_TOKEN_HASH"];
    let config = read_config(text, &variables);
    let keda = &one(&objects, "ScaledObject", "cockpit-sync-worker")["spec"]["triggers"][0]["metadata"];
    let target = keda["stream"].as_str().unwrap();
    let known =
        config.instances.keys().any(|name| *target == format!("{{{}}}:target:{name}:jobs", config.queue.prefix));
    assert!(known, "KEDA looks at the stream {target}, of no instance");
    let service = &one(&objects, "Service", "cockpit-sync-redis")["metadata"]["name"];
    assert!(text.contains(&format!("redis://{}:6379", service.as_str().unwrap())));
}

#[test]
fn keda_scales_what_is_there_by_a_stream_that_the_queue_has() {
    let objects = objects();
    let scaled = &one(&objects, "ScaledObject", "cockpit-sync-worker")["spec"];
    let worker = one(&objects, "Deployment", scaled["scaleTargetRef"]["name"].as_str().unwrap());
    assert!(worker["spec"]["replicas"].is_null(), "both KEDA and the deployment say how many workers there are");
    let arguments = words(&pod(worker)["containers"][0]["args"]);
    let trigger = &scaled["triggers"][0];
    let at_once = arguments.iter().position(|word| word == "--concurrency").map(|at| &arguments[at + 1]);
    assert_eq!(trigger["metadata"]["streamLength"].as_str(), at_once.map(String::as_str));
    // With none nothing would be handed out, and the stream would stay empty.
    assert!(scaled["minReplicaCount"].as_u64().unwrap() >= 1);
    let readme = include_str!("../../shared/queue/README.md");
    let row = readme.lines().find(|line| line.contains("`{cs}:target:<name>:jobs` | stream")).unwrap();
    let group = trigger["metadata"]["consumerGroup"].as_str().unwrap();
    assert!(row.contains(&format!("Group `{group}`")), "{row}");
}
