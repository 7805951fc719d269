use bellwether_core::chat::{ChatResponse, ChatStream};
use bellwether_core::{ChatRequest, Message, ProviderError, Usage};

use super::*;
use crate::parts;

const LADDER: &str = include_str!("../../../../examples/teams/ladder.toml");

fn file(text: String) -> TeamFile {
    TeamFile::parse("ladder.toml".as_ref(), text).expect("the file is right")
}

/// The purse of a team with these budgets.
fn purse(budget: &str) -> Purse {
    let file = file(format!("{LADDER}\n{budget}\n"));
    Purse::new(&file, &Overrides::default(), None, Keys::Optional).expect("so are its budgets")
}

fn dollars(amount: f64) -> Usd {
    Usd::from_dollars(amount).expect("not negative")
}

/// A dollar for a million tokens of any kind: a token costs 1,000 billionths.
fn prices(model: &str) -> BTreeMap<String, Price> {
    let price = Price { input_per_mtok: dollars(1.0), cached_per_mtok: dollars(1.0), output_per_mtok: dollars(1.0) };
    BTreeMap::from([(model.to_owned(), price)])
}

/// Says that each of its answers took ten tokens.
#[derive(Debug)]
struct Model;

#[async_trait]
impl ChatProvider for Model {
    fn name(&self) -> &'static str {
        "model"
    }

    async fn stream(&self, _: ChatRequest, _: CallContext) -> Result<ChatStream, ProviderError> {
        let usage = Usage { input_tokens: Some(4), output_tokens: Some(6), ..Usage::default() };
        Ok(ChatStream::ready(ChatResponse { usage, ..ChatResponse::text("done") }))
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}

fn model() -> Arc<dyn ChatProvider> {
    Arc::new(Model)
}

fn ask(model: &str) -> ChatRequest {
    ChatRequest { max_output_tokens: Some(100), ..ChatRequest::new(model, vec![Message::user("0123456789")]) }
}

fn spent(purse: &Budgeted) -> Amount {
    purse.account(&Scope::Everything, &CallContext::default()).spent
}

#[tokio::test]
async fn the_providers_of_a_team_share_one_purse() {
    let mut purse = purse("[budget]\nusd = 0.00014");
    let one = purse.guard(model(), prices("one"));
    let other = purse.guard(model(), prices("other"));
    assert!(one.chat(ask("one"), CallContext::default()).await.is_ok());
    assert!(other.chat(ask("other"), CallContext::default()).await.is_ok(), "it knows the prices of its own models");
    let shared = purse.shared().expect("there are budgets");
    assert_eq!(spent(&shared).usd, Usd::from_nanos(20_000));
    assert!(other.chat(ask("other"), CallContext::default()).await.is_err(), "126 of 140 do not fit beside 20");
}

#[test]
fn a_resume_goes_on_with_what_was_taken_and_with_what_may_have_been() {
    let mut purse = purse("[budget]\nusd = 1.0");
    purse.guard(model(), prices("one"));
    purse.guard(model(), prices("other"));
    let shared = purse.shared().expect("there are budgets");
    let context = CallContext { timeout: Some(Duration::from_secs(60)), ..CallContext::default() };
    let mut booked = Booked { context, spent: Default::default(), in_doubt: None };
    (booked.spent.calls, booked.spent.retries, booked.spent.busy) = (3, 2, Duration::from_secs(5));
    booked.spent.usage =
        Usage { input_tokens: Some(70), output_tokens: Some(30), cost: Some(Usd::from_nanos(7)), ..Usage::default() };
    book(&shared, &booked);
    let taken = Amount { usd: Usd::from_nanos(7), tokens: 100, calls: 5, time: Duration::from_secs(5) };
    assert_eq!(spent(&shared), taken);
    let doubt = Doubt { model: "other".into(), messages: 1, bytes: 10, max_output_tokens: Some(100) };
    book(&shared, &Booked { spent: Default::default(), in_doubt: Some(doubt), ..booked });
    let worst = Amount { usd: Usd::from_nanos(126_000), tokens: 126, calls: 1, time: Duration::from_secs(60) };
    assert_eq!(spent(&shared), taken.plus(worst), "the second provider's models are not free");
}

#[tokio::test]
async fn what_is_held_back_is_given_back_where_a_plan_is_its_own_whole() {
    let editor = "[roles.editor]\nkind = \"synthesizer\"\ntiers = [\"large\"]\nprompt = \"You edit.\"";
    let refuses = |tasks: usize| {
        let mut purse = purse(&format!("[budget]\ntokens = 130\n{editor}"));
        let guarded = purse.guard(model(), prices("one"));
        let heard: Arc<dyn Observer> = Arc::new(());
        let tasks = (0..tasks).map(|n| (format!("t{n}").into(), "a part".into())).collect();
        purse.observer(&heard).observe(&Fact::PlanAccepted { run: "r".into(), tasks, degraded: false });
        async move { guarded.chat(ask("one"), CallContext::default()).await.is_err() }
    };
    assert!(refuses(2).await, "126 tokens do not fit under 92 % of 130");
    assert!(!refuses(1).await);
}

#[test]
fn the_command_line_has_the_last_word_on_each_cap() {
    let file = file(format!("{LADDER}\n[budget]\nusd = 1.0\ntokens = 5\ncalls = 7\ntime = \"1m\"\n"));
    let overrides = |budget| Overrides { budget, ..Overrides::default() };
    let own = Caps { usd: Some(dollars(1.0)), tokens: Some(5), calls: Some(7), time: Some(Duration::from_secs(60)) };
    assert_eq!(caps(&file, &overrides(Caps::default())), own);
    let given = Caps { usd: Some(dollars(2.0)), tokens: Some(6), calls: Some(8), time: Some(Duration::from_secs(1)) };
    assert_eq!(caps(&file, &overrides(given)), given);
}

/// Whoever falls back to a model without a price was refused there, in the middle of a run, as if its money was spent.
#[test]
fn models_that_are_fallen_back_to_need_a_price_as_well() {
    let checked = |fallback: &str, spare: &str| {
        let text = LADDER.replacen("[models.small]", &format!("[models.small]\nfallback = [\"{fallback}\"]"), 1);
        let spare = format!("[models.spare]\nprovider = \"main\"\n{spare}\n\n[models.small]");
        let text = text.replacen("[models.small]", &spare, 1) + "\n[budget]\nusd = 1.0\n";
        let file = TeamFile::parse("ladder.toml".as_ref(), text).expect("the file is right");
        let nobody: Arc<dyn Observer> = Arc::new(());
        let parts =
            parts::build(&file, &Overrides::default(), Keys::Optional, &nobody, None).expect("so are its parts");
        parts.team.roles().try_for_each(|role| provable(&file, &Overrides::default(), role))
    };
    let priced = "id = \"mine\"\nusd_per_mtok = { in = 1.0, out = 2.0 }";
    assert!(checked("spare", priced).is_ok());
    assert!(checked("spare", "id = \"gpt-4.1\"").is_ok(), "the catalogue knows it");
    let error = checked("spare", "id = \"mine\"").expect_err("nobody knows it");
    let said = error.to_string();
    assert!(said.contains("what mine costs: set usd_per_mtok in [models.spare]"), "{said}");
    assert!(checked("large", "id = \"mine\"").is_ok(), "nobody asks it");
}

/// Two runs of a tenant, each with a calls' worth of the day in hand or waiting for it.
#[tokio::test(start_paused = true)]
async fn whoever_finds_the_day_reserved_by_others_waits_for_them_and_whoever_finds_it_spent_does_not() {
    let directory = std::env::temp_dir().join(format!("bellwether-{}", new_run_id()));
    let journal = Arc::new(SqliteJournal::open(&directory, bellwether_journal::Settings::default()).unwrap());
    let cap = Caps { tokens: Some(150), ..Caps::default() };
    let day = || Day::new(Arc::clone(&journal), "flock", cap);
    let (one, other, stranger) = (day(), day(), Day::new(Arc::clone(&journal), "strangers", cap));
    let (context, tokens) = (CallContext::default(), |tokens| Amount { tokens, calls: 1, ..Amount::default() });
    one.reserve(0, &context, tokens(100)).await.unwrap();
    stranger.reserve(0, &context, tokens(100)).await.unwrap();
    let waiting = other.reserve(0, &context, tokens(100));
    let settled = async {
        // It is asked again some time after this, and finds what is left.
        tokio::task::yield_now().await;
        one.settle(0, tokens(50));
    };
    let (waited, ()) = tokio::join!(waiting, settled);
    waited.unwrap();
    other.settle(0, tokens(60));
    let refused = one.reserve(1, &context, tokens(100)).await.unwrap_err();
    assert_eq!(refused.scope, "tenant_day");
    assert!(
        refused.message.contains("tenant flock for today") && refused.message.contains("110"),
        "{}",
        refused.message
    );
    let larger = one.reserve(2, &context, tokens(40)).await;
    drop((journal, one, other, stranger));
    std::fs::remove_dir_all(directory).unwrap();
    assert_eq!(larger, Ok(()));
}
