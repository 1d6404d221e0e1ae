//! The canonical hash, checked against the one computed in PHP by `golden/make.php`.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cockpit_sync_protocol::canonical::{Document, Identity, hash};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde::Deserialize;

#[path = "canonical/documents.rs"]
mod documents;

#[derive(Deserialize)]
struct Vectors {
    hashes: Vec<Vector>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Vector {
    claim: String,
    identity: Identity,
    hash: String,
    document: String,
}

#[derive(Deserialize)]
struct Refused {
    claim: String,
    document: String,
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn vectors() -> Vectors {
    serde_json::from_str(&std::fs::read_to_string(golden("vectors.json")).unwrap()).unwrap()
}

fn hash_of(document: &[u8], identity: Identity) -> String {
    Document::parse(document).map_or("refused".into(), |document| hash(&document, identity).to_string())
}

#[test]
fn every_golden_vector_has_its_hash() {
    let vectors = vectors();
    assert!(vectors.hashes.len() >= 40);
    for vector in vectors.hashes {
        assert_eq!(hash_of(vector.document.as_bytes(), vector.identity), vector.hash, "{}", vector.claim);
    }
}

#[test]
fn what_php_does_not_read_is_refused() {
    let vectors = vectors();
    assert!(vectors.refused.len() >= 20);
    for refused in vectors.refused {
        assert!(Document::parse(refused.document.as_bytes()).is_err(), "{}", refused.claim);
    }
}

#[test]
fn documents_that_are_said_to_be_the_same_have_one_hash() {
    let hash_by_claim = |claim: &str| {
        let vectors = vectors().hashes;
        vectors.into_iter().find(|vector| vector.claim == claim).expect(claim).hash
    };
    for (one, other) in [
        ("text in several scripts", "the same text with escapes"),
        ("a whole float is an integer", "the same integers"),
        ("negative zero is zero", "zero"),
        ("as PHP writes large floats", "the same large floats"),
        ("keys are sorted by bytes", "the same keys in another order"),
        ("an object that counts from zero is an array", "that array"),
        ("a copy of an asset", "a copy of an asset without what does not count"),
    ] {
        assert_eq!(hash_by_claim(one), hash_by_claim(other), "{one}");
    }
    for (one, other) in [
        ("text in several scripts", "text is not normalised"),
        ("an object that counts in another order is an object", "that array"),
        ("a copy of an asset", "no copy without a mime type"),
        ("null", "an empty document"),
    ] {
        assert_ne!(hash_by_claim(one), hash_by_claim(other), "{one}");
    }
}

/// Runs `make.php`, or says that it is skipped.
fn php(arguments: &[&str], input: &str, test: &str) -> Option<String> {
    let spawned = Command::new("php")
        .arg(golden("make.php"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut process) = spawned else {
        eprintln!("skipped: {test} (php is not installed)");
        return None;
    };
    let mut stdin = process.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = process.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn php_still_computes_the_golden_vectors() {
    let Some(computed) = php(&[], "", "php_still_computes_the_golden_vectors") else { return };
    assert_eq!(computed, std::fs::read_to_string(golden("vectors.json")).unwrap());
}

#[test]
fn php_agrees_on_random_documents() {
    let mut texts: Vec<Vec<u8>> = vec![b"{\"a\":\"\xff\"}".to_vec(), b"{\"a\":\"\xed\xa0\x80\"}".to_vec()];
    let mut runner = TestRunner::new(Config { cases: 600, ..Config::default() });
    let drawn = std::cell::RefCell::new(&mut texts);
    let strategy = (documents::any_document(), documents::any_style());
    runner
        .run(&strategy, |(document, mut style)| {
            drawn.borrow_mut().push(documents::write(&document, &mut style).into_bytes());
            Ok(())
        })
        .unwrap();
    assert!(texts.len() > 600);
    let identities = [("id", Identity::Id), ("model", Identity::Model)];
    let cases: Vec<_> =
        texts.iter().flat_map(|text| identities.map(|(name, identity)| (text, name, identity))).collect();
    let lines: String = cases.iter().map(|(text, name, _)| format!("{name} {}\n", STANDARD.encode(text))).collect();
    let Some(answers) = php(&["--each"], &lines, "php_agrees_on_random_documents") else { return };
    assert_eq!(answers.lines().count(), cases.len());
    for ((text, _, identity), answer) in cases.iter().zip(answers.lines()) {
        assert_eq!(hash_of(text, *identity), answer, "{}", String::from_utf8_lossy(text));
    }
}

proptest! {
    #[test]
    fn a_document_reads_the_same_whatever_its_key_order_spaces_escapes_and_forms_of_numbers(
        document in documents::document_with_word_keys(),
        mut one in documents::any_style(),
        mut other in documents::any_style(),
    ) {
        let one = documents::write(&document, &mut one);
        let other = documents::write(&document, &mut other);
        prop_assert_eq!(hash_of(one.as_bytes(), Identity::Id), hash_of(other.as_bytes(), Identity::Id), "{}\n{}", one, other);
    }
}
