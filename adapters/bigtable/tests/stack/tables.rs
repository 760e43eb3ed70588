//! Making and checking the tables.

use std::collections::HashMap;

use adapter_bigtable::{Bigtable, BigtableConfig, BigtableError, Endpoint, GoogleCredentials};
use gcloud_sdk::google::bigtable::admin::v2::gc_rule::Rule;
use gcloud_sdk::google::bigtable::admin::v2::{
    ColumnFamily, CreateTableRequest, GcRule, GetTableRequest, Table,
};
use gcloud_sdk::prost_types::Duration;

use crate::server::{self, admin, table};

#[tokio::test]
async fn setup_makes_what_is_missing_and_nothing_twice() {
    let config = server::config();
    let made = Bigtable::setup(&config).await.unwrap();
    assert_eq!(made, [table(&config, "history"), table(&config, "archive")]);
    assert_eq!(Bigtable::setup(&config).await.unwrap(), [""; 0]);
    for (suffix, family) in [("history", "h"), ("archive", "a")] {
        let request = GetTableRequest {
            name: table(&config, suffix),
            ..GetTableRequest::default()
        };
        let found = admin().await.get_table(request).await.unwrap().into_inner();
        let rule = found.column_families[family].gc_rule.clone().unwrap().rule;
        assert_eq!(rule, Some(Rule::MaxNumVersions(1)), "{suffix}");
    }
    let opened = Bigtable::open(config, server::log_id()).await;
    opened.check().await.unwrap();
}

async fn make(config: &BigtableConfig, suffix: &str, families: &[(&str, Option<Rule>)]) {
    let family = |(name, rule): &(&str, Option<Rule>)| {
        let gc_rule = rule.clone().map(|rule| GcRule { rule: Some(rule) });
        let family = ColumnFamily {
            gc_rule,
            ..ColumnFamily::default()
        };
        ((*name).to_owned(), family)
    };
    let request = CreateTableRequest {
        parent: format!("projects/{}/instances/{}", config.project, config.instance),
        table_id: format!("{}-{suffix}", config.table_prefix),
        table: Some(Table {
            column_families: families.iter().map(family).collect::<HashMap<_, _>>(),
            ..Table::default()
        }),
        ..CreateTableRequest::default()
    };
    admin().await.create_table(request).await.unwrap();
}

#[tokio::test]
async fn a_table_without_its_family_gets_it() {
    let config = server::config();
    make(&config, "history", &[("other", None)]).await;
    let opened = Bigtable::open(config.clone(), server::log_id()).await;
    opened.check().await.unwrap();
    let made = Bigtable::setup(&config).await.unwrap();
    assert_eq!(made, [""; 0], "an emulator's tables are made by looking");
    opened.history().checkpoint(0).await.unwrap();
}

#[tokio::test]
async fn a_rule_that_would_delete_is_refused() {
    let age = Rule::MaxAge(Duration {
        seconds: 3_600,
        nanos: 0,
    });
    let config = server::config();
    make(&config, "archive", &[("a", Some(age))]).await;
    let refused = Bigtable::setup(&config).await;
    assert!(
        matches!(&refused, Err(BigtableError::Unusable(what)) if what.contains("-archive")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn credentials_that_are_none_are_named_and_not_quoted() {
    let path = std::env::temp_dir().join(format!("daybook-key-{:x}", server::unique()));
    std::fs::write(&path, "{\"private_key\": secret}").unwrap();
    let config = BigtableConfig::google("p", "i", GoogleCredentials::File(path.clone()));
    let Endpoint::Google(_) = &config.endpoint else {
        panic!("{config:?}")
    };
    let refused = Bigtable::setup(&config).await.unwrap_err();
    std::fs::remove_file(&path).unwrap();
    let said = format!("{refused} {refused:?} {config:?}");
    assert!(matches!(refused, BigtableError::Denied(_)), "{said}");
    assert!(said.contains(&path.display().to_string()), "{said}");
    assert!(!said.contains("secret"), "{said}");
    let missing = Bigtable::setup(&config).await.unwrap_err();
    assert!(matches!(missing, BigtableError::Denied(_)), "{missing}");
}
