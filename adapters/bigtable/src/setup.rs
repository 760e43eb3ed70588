//! Makes and checks the tables.

use std::collections::HashMap;

use gcloud_sdk::google::bigtable::admin::v2 as admin;
use gcloud_sdk::google::bigtable::admin::v2::gc_rule::Rule;
use gcloud_sdk::google::bigtable::admin::v2::modify_column_families_request::{
    Modification, modification::Mod,
};
use gcloud_sdk::tonic::{Code, Status};

use crate::client::{Client, Table};
use crate::error::BigtableError;

const TABLES: [Table; 2] = [Table::History, Table::Archive];

/// Cells are rewritten with the same time stamp, so there is never a second version to keep.
const VERSIONS: i32 = 1;

fn family() -> admin::ColumnFamily {
    admin::ColumnFamily {
        gc_rule: Some(admin::GcRule {
            rule: Some(Rule::MaxNumVersions(VERSIONS)),
        }),
        value_type: None,
    }
}

impl Client {
    /// Makes what is missing and checks what is there. Gives the names of what was made.
    pub(crate) async fn create_tables(&self) -> Result<Vec<String>, BigtableError> {
        let mut made = Vec::new();
        for table in TABLES {
            if self.create_table(table).await? {
                made.push(self.table_name(table));
            } else if self.check_table(table, true).await? {
                made.push(format!(
                    "{} (family {})",
                    self.table_name(table),
                    table.family()
                ));
            }
        }
        Ok(made)
    }

    /// Checks that all is there as it must be.
    pub(crate) async fn check_tables(&self) -> Result<(), BigtableError> {
        for table in TABLES {
            self.check_table(table, false).await?;
        }
        Ok(())
    }

    /// False where it was there already.
    async fn create_table(&self, table: Table) -> Result<bool, BigtableError> {
        let request = admin::CreateTableRequest {
            parent: self.config.parent(),
            table_id: self.table_id(table),
            table: Some(admin::Table {
                column_families: HashMap::from([(table.family().to_owned(), family())]),
                ..admin::Table::default()
            }),
            initial_splits: Vec::new(),
        };
        match self.admin().await?.create_table(request).await {
            Ok(_) => Ok(true),
            Err(status) if status.code() == Code::AlreadyExists => Ok(false),
            Err(status) => Err(self.refused("bigtable.tables.create", &status)),
        }
    }

    /// True where the column family was missing and was made.
    async fn check_table(&self, table: Table, make: bool) -> Result<bool, BigtableError> {
        let name = self.table_name(table);
        let request = admin::GetTableRequest {
            name: name.clone(),
            view: admin::table::View::SchemaView.into(),
        };
        let found = self.admin().await?.get_table(request).await;
        let found = found
            .map_err(|status| self.refused("bigtable.tables.get", &status))?
            .into_inner();
        let Some(of) = found.column_families.get(table.family()) else {
            if !make {
                return Err(BigtableError::Missing(format!(
                    "column family {} of table {name}",
                    table.family()
                )));
            }
            let request = admin::ModifyColumnFamiliesRequest {
                name,
                modifications: vec![Modification {
                    id: table.family().to_owned(),
                    update_mask: None,
                    r#mod: Some(Mod::Create(family())),
                }],
                ignore_warnings: false,
            };
            let made = self.admin().await?.modify_column_families(request).await;
            made.map_err(|status| self.refused("bigtable.tables.update", &status))?;
            return Ok(true);
        };
        let rule = of.gc_rule.as_ref().and_then(|rule| rule.rule.as_ref());
        match rule {
            // More versions, or no rule at all, cost room and lose nothing.
            None | Some(Rule::MaxNumVersions(1..)) => Ok(false),
            Some(_) => Err(BigtableError::Unusable(format!(
                "the garbage collection of column family {} of table {name} would delete what \
                 must stay for ever; its rule must be: keep {VERSIONS} version",
                table.family()
            ))),
        }
    }

    fn refused(&self, permission: &str, status: &Status) -> BigtableError {
        if status.code() == Code::PermissionDenied {
            return BigtableError::Denied(format!(
                "the account that asks lacks the permission {permission} on {}",
                self.config.parent()
            ));
        }
        BigtableError::of(&format!("tables of {}", self.config.parent()), status)
    }
}
