//! Hostile servers: what they learn before their identity is verified, and what they can do in a session.

use std::time::{Duration, Instant};

use crate::hostile::{Act, Hostile, odd_answers};
use orchestra_operator::api::condition::Reason;
use orchestra_operator::error::ErrorClass;
use orchestra_operator::postgres::{Error, Login, Tls, connect, identity};
use orchestra_sandbox::router::Authority;

const CLEAR: u32 = 3;
const MD5: u32 = 5;

#[tokio::test]
async fn a_server_that_anybody_could_be_is_told_no_password() {
    let own = Authority::new("Somebody").unwrap();
    for act in [Act::Ask(CLEAR), Act::Ask(MD5), Act::AskLate(CLEAR), Act::AskLate(MD5)] {
        let plain = Hostile::start(act, None).await;
        let secured = Hostile::start(act, Some((&own, "127.0.0.1"))).await;
        for (server, tls) in [
            (&plain, Tls::Disable),
            (&plain, Tls::Prefer),
            (&secured, Tls::Prefer),
            (&secured, Tls::Require),
        ] {
            let error = server.answers(tls, None).await.unwrap_err();
            assert!(matches!(error, Error::InsecureLogin { .. }), "{tls:?}: {error}");
            assert_eq!(
                (error.class(), error.reason()),
                (ErrorClass::Blocked, Reason::UntrustedHost)
            );
            assert!(!server.knows(), "{tls:?}");
        }
    }
}

#[tokio::test]
async fn a_verified_login_reaches_the_server_of_its_certificate_alone() {
    let trusted = Authority::new("Trusted").unwrap();
    let other = Authority::new("Other").unwrap();
    let good = Hostile::start(Act::Serve, Some((&trusted, "127.0.0.1"))).await;
    let misnamed = Hostile::start(Act::Ask(CLEAR), Some((&trusted, "elsewhere.example"))).await;
    let fake = Hostile::start(Act::Ask(CLEAR), Some((&other, "127.0.0.1"))).await;
    let plain = Hostile::start(Act::Ask(CLEAR), None).await;

    good.answers(Tls::VerifyFull, Some(&trusted)).await.unwrap();
    good.answers(Tls::VerifyCa, Some(&trusted)).await.unwrap();
    // The server of the host may ask for the password in clear text, as one behind LDAP does.
    let named = Hostile::start(Act::Ask(CLEAR), Some((&trusted, "127.0.0.1"))).await;
    named.answers(Tls::VerifyFull, Some(&trusted)).await.unwrap();
    assert!(named.knows());
    // Another one of the same authority may not, nor as MD5.
    let hashed = Hostile::start(Act::AskLate(MD5), Some((&trusted, "elsewhere.example"))).await;
    for server in [&misnamed, &hashed] {
        let error = server.answers(Tls::VerifyCa, Some(&trusted)).await.unwrap_err();
        assert!(matches!(error, Error::InsecureLogin { .. }), "{error}");
        assert!(!server.knows());
        server.heard.lock().clear();
    }

    for (server, tls, roots) in [
        (&misnamed, Tls::VerifyFull, Some(&trusted)),
        (&fake, Tls::VerifyFull, Some(&trusted)),
        (&fake, Tls::VerifyCa, Some(&trusted)),
        (&fake, Tls::VerifyFull, None),
    ] {
        let error = server.answers(tls, roots).await.unwrap_err();
        assert!(matches!(error, Error::UntrustedServer(_)), "{tls:?}: {error}");
        assert_eq!(error.class(), ErrorClass::Blocked);
        assert!(server.heard.lock().is_empty(), "not even the user's name");
    }
    let error = plain.answers(Tls::VerifyFull, Some(&trusted)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert!(plain.heard.lock().is_empty());
}

/// The authority of a certificate that anybody gets for a host of his own is one of the system's.
#[tokio::test]
async fn a_public_authority_proves_no_server_whose_name_is_not_checked() {
    const FILE: &str = "SSL_CERT_FILE";
    let public = Authority::new("Public").unwrap();
    let own = Authority::new("Own").unwrap();
    let Ok(file) = std::env::var("TEST_PUBLIC_AUTHORITY") else {
        // The system's authorities are read once, from what the environment names.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("public.pem");
        let child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "a_public_authority_proves_no_server_whose_name_is_not_checked",
            ])
            .env("TEST_PUBLIC_AUTHORITY", &file)
            .env(FILE, &file)
            .output();
        let done = child.await.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        return;
    };
    std::fs::write(&file, public.root()).unwrap();
    // The system's authorities are trusted where the name is checked as well.
    let right = Hostile::start(Act::Ask(CLEAR), Some((&public, "127.0.0.1"))).await;
    right.answers(Tls::VerifyFull, None).await.unwrap();
    let elsewhere = Hostile::start(Act::Serve, Some((&public, "attacker.example"))).await;
    let error = elsewhere.answers(Tls::VerifyCa, Some(&own)).await.unwrap_err();
    assert!(matches!(error, Error::UntrustedServer(_)), "{error}");
    let error = elsewhere.answers(Tls::VerifyCa, None).await.unwrap_err();
    assert!(matches!(error, Error::InvalidUrl(_)), "{error}");
    assert!(elsewhere.heard.lock().is_empty(), "not even the user's name");
}

#[tokio::test]
async fn a_server_that_stalls_or_never_ends_takes_a_bounded_time() {
    let began = Instant::now();
    let stalled = async { Hostile::start(Act::Stall, None).await.answers(Tls::Disable, None).await };
    let noisy = async {
        Hostile::start(Act::Notices, None)
            .await
            .answers(Tls::Disable, None)
            .await
    };
    for error in <[_; 2]>::from(tokio::join!(stalled, noisy)).map(Result::unwrap_err) {
        assert!(matches!(error, Error::Timeout(_)), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_huge_message_ends_the_session_before_it_is_collected() {
    let server = Hostile::start(Act::Huge, None).await;
    let answer = tokio::time::timeout(Duration::from_secs(5), server.answers(Tls::Disable, None));
    let error = answer.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("more than 4 MiB"), "{error}");
    assert_eq!(error.class(), ErrorClass::Blocked);
}

#[tokio::test]
async fn answers_of_odd_types_are_errors() {
    for which in 0..odd_answers().len() {
        let login = Login {
            tls: Tls::Disable,
            ..Hostile::start(Act::Odd(which), None).await.login
        };
        let mut session = connect(&login, "test").await.unwrap();
        let asked = tokio::spawn(async move { identity(&mut session).await });
        // What waits for an answer that never comes is the caller's to end, and so is what panics inside sqlx.
        match tokio::time::timeout(Duration::from_secs(2), asked).await {
            Ok(Ok(answer)) => {
                let error = answer.map(drop).unwrap_err().to_string();
                assert!(error.len() < 500 && !error.contains('\n'), "{which}: {error}");
            }
            Ok(Err(ended)) => assert!(ended.is_panic(), "{which}: {ended}"),
            Err(_) => {}
        }
    }
}

#[tokio::test]
async fn a_servers_text_is_one_line_without_control_characters() {
    let server = Hostile::start(Act::Refuse, None).await;
    let error = server.answers(Tls::Disable, None).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the database refused the login: no [2J ]0;title INFO forged txt (SQLSTATE 28P01)"
    );
}
