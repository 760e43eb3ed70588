//! Answers: asked for, printed for machines, or handed on to be shown; those in pages put
//! together again.

use prost::Message;
use schemas::proto::v1::*;

use super::options::LimitArgs;
use crate::client::failure::Failure;
use crate::client::output;
use crate::client::rpc::Rpc;
use crate::client::session::Session;

/// Makes the call. `None` where nothing is left to be shown: the answer was printed as JSON, or
/// the call as a grpcurl call.
///
/// # Errors
/// As [`Session::ask`].
pub async fn to_show<Q, A>(
    session: &Session,
    rpc: Rpc<Q, A>,
    request: Q,
) -> Result<Option<A>, Failure>
where
    Q: Message + Clone + 'static,
    A: Message + Default + 'static,
{
    let reply = session.ask(rpc, request).await?;
    Ok(reply.and_then(|reply| unless_json(session, rpc, reply)))
}

/// Prints `reply` where the output is for machines.
fn unless_json<Q: Message, A: Message>(session: &Session, rpc: Rpc<Q, A>, reply: A) -> Option<A> {
    if session.args.json {
        output::json(&rpc.reply_json(&reply));
        return None;
    }
    Some(reply)
}

/// An answer that comes in pages.
pub trait Paged: Message + Default + 'static {
    /// What there is many of.
    type Row;
    /// The rows of this page.
    fn rows(&mut self) -> &mut Vec<Self::Row>;
    /// What follows it.
    fn info(&self) -> Option<&PageInfo>;
}

macro_rules! paged {
    ($($reply:ident { $rows:ident: $row:ident })*) => {
        $(impl Paged for $reply {
            type Row = $row;

            fn rows(&mut self) -> &mut Vec<$row> {
                &mut self.$rows
            }

            fn info(&self) -> Option<&PageInfo> {
                self.page.as_ref()
            }
        })*
    };
}

paged! {
    ListLedgersResponse { ledgers: Ledger }
    ListAccountsResponse { accounts: Account }
    ListTransactionsResponse { transactions: Transaction }
    ListRecordsResponse { decisions: Decision }
    GetStatementResponse { lines: PostingLine }
}

/// All pages up to `limit`, as one answer: the last page with the rows of all. `request` makes
/// the request of a page from its size and token. `None` as of [`to_show`].
///
/// # Errors
/// As [`Session::ask`].
pub async fn pages_to_show<Q, A>(
    session: &Session,
    rpc: Rpc<Q, A>,
    limit: &LimitArgs,
    request: impl Fn(u32, String) -> Q,
) -> Result<Option<A>, Failure>
where
    Q: Message + Clone + 'static,
    A: Paged,
{
    let all = pages(session, rpc, limit.limit, request).await?;
    Ok(all.and_then(|all| unless_json(session, rpc, all)))
}

/// As [`pages_to_show`], and nothing is printed but a grpcurl call.
///
/// # Errors
/// As [`Session::ask`].
pub async fn pages<Q, A>(
    session: &Session,
    rpc: Rpc<Q, A>,
    limit: usize,
    request: impl Fn(u32, String) -> Q,
) -> Result<Option<A>, Failure>
where
    Q: Message + Clone + 'static,
    A: Paged,
{
    let mut rows = Vec::new();
    let mut token = String::new();
    loop {
        let size = limit.saturating_sub(rows.len()).clamp(1, 1_000) as u32;
        let asked = session.ask(rpc, request(size, std::mem::take(&mut token)));
        let Some(mut page) = asked.await? else {
            return Ok(None);
        };
        rows.append(page.rows());
        if let Some(info) = page.info() {
            token.clone_from(&info.next_page_token);
        }
        if token.is_empty() || rows.len() >= limit {
            *page.rows() = rows;
            return Ok(Some(page));
        }
    }
}

/// Says that there is more than was shown.
pub fn more_hint<A: Paged>(shown: &A) {
    if shown
        .info()
        .is_some_and(|page| !page.next_page_token.is_empty())
    {
        output::note(output::paint(output::DIM, "there is more: raise --limit"));
    }
}
