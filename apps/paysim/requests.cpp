#include "paysim/requests.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "paysim/api_error.hpp"
#include "paysim/cards.hpp"
#include "paysim/search.hpp"

namespace holdfast::paysim {
namespace {

constexpr std::int64_t kDefaultLimit = 10;
constexpr std::int64_t kMaxLimit = 100;

/// Past every id, since '~' sorts after letters and digits.
constexpr std::string_view kPastAll = "~";

std::int64_t read_amount(const Form& form) {
  const auto amount = form.integer("amount");
  if (!amount) throw ApiError::bad_request("amount", "Missing required param: amount.", "parameter_missing");
  if (*amount < 1)
    throw ApiError::bad_request("amount", "This value must be greater than or equal to 1.",
                                "parameter_invalid_integer");
  if (*amount > kMaxAmount)
    throw ApiError::bad_request("amount", "Amount must be no more than 999,999.99.", "amount_too_large");
  return *amount;
}

std::string read_currency(const Form& form) {
  std::string currency = form.text("currency").value_or("");
  if (currency.empty())
    throw ApiError::bad_request("currency", "Missing required param: currency.", "parameter_missing");
  for (char& c : currency) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  const bool letters =
      std::all_of(currency.begin(), currency.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  if (currency.size() != 3 || !letters)
    throw ApiError::bad_request("currency", "Invalid currency: " + currency);
  return currency;
}

Form::Pairs read_metadata(const Form& form) {
  Form::Pairs metadata = form.map("metadata");
  if (metadata.size() > kMaxMetadata)
    throw ApiError::bad_request("metadata", "Metadata can have at most 50 keys.");
  for (const auto& [name, value] : metadata) {
    if (name.size() > kMaxMetadataNameBytes || value.size() > kMaxMetadataValueBytes)
      throw ApiError::bad_request("metadata[" + name + "]",
                                  "Metadata keys can be up to 40 characters long and values up to 500.");
  }
  return metadata;
}

template <class Enum>
Enum read_choice(const Form& form, std::string_view name, Enum otherwise) {
  const auto text = form.text(name);
  if (!text) return otherwise;
  const auto value = enum_from_name<Enum>(*text);
  if (!value) throw ApiError::bad_request(name, "Invalid " + std::string(name) + ": " + *text);
  return *value;
}

/// The parameters of a GET, bounded by the server's limit on targets.
class Query {
 public:
  explicit Query(const http::Request& request) {
    try {
      parameters_ = request.query_parameters();
    } catch (const Error& error) {
      throw ApiError::bad_request("", error.detail());
    }
  }

  std::string text(std::string_view name) const {
    for (const auto& parameter : parameters_) {
      if (parameter.name == name) return parameter.value;
    }
    return {};
  }
  std::int64_t limit() const {
    const std::string given = text("limit");
    if (given.empty()) return kDefaultLimit;
    std::int64_t value = 0;
    const char* end = given.data() + given.size();
    const auto read = std::from_chars(given.data(), end, value);
    if (read.ec != std::errc() || read.ptr != end)
      throw ApiError::bad_request("limit", "Invalid integer: " + given, "parameter_invalid_integer");
    if (value < 1 || value > kMaxLimit)
      throw ApiError::bad_request("limit", "This value must be between 1 and 100.",
                                  "parameter_invalid_integer");
    return value;
  }
  /// Where a page begins: below this id.
  std::string before(std::string_view parameter = "starting_after") const {
    std::string given = text(parameter);
    return given.empty() ? std::string(kPastAll) : given;
  }
  /// Stripe's clients ask for the charge within the intent, instead of its id.
  Charge charge(std::string_view path) const {
    for (const auto& parameter : parameters_) {
      if (parameter.name.starts_with("expand[") && parameter.value == path) return Charge::whole;
    }
    return Charge::id;
  }
  void refuse_others(std::initializer_list<std::string_view> known) const {
    for (const auto& parameter : parameters_) {
      const bool taken = std::find(known.begin(), known.end(), parameter.name) != known.end();
      if (!taken && !parameter.name.starts_with("expand"))
        throw ApiError::bad_request(parameter.name, "Received unknown parameter: " + parameter.name,
                                    "parameter_unknown");
    }
  }

 private:
  std::vector<http::QueryParameter> parameters_;
};

/// `rows` holds one more than `limit` where there are more.
template <class Row, class ToJson>
std::string list_of(std::vector<Row> rows, std::int64_t limit, std::string_view url, ToJson to_json) {
  const bool more = rows.size() > static_cast<std::size_t>(limit);
  if (more) rows.pop_back();
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().member("object", "list").key("data").begin_array();
  for (const Row& row : rows) writer.raw(to_json(row));
  writer.end_array().member("has_more", more).member("url", url).end_object();
  return out;
}

std::string select_intents(std::string_view where_and_order) {
  return "select " + std::string(kIntentColumns) + " from intents where " + std::string(where_and_order);
}

}  // namespace

std::string read_payment_method(const Form& form) {
  std::string given = form.text("payment_method").value_or("");
  std::string param = "payment_method";
  if (const auto number = form.text("payment_method_data[card][number]"); given.empty() && number) {
    given = *number;
    param = "payment_method_data[card][number]";
  }
  form.ignore("payment_method_data");
  if (given.empty()) return {};
  const auto card = find_card(given);
  if (!card) throw ApiError::bad_request(param, "No such PaymentMethod: '" + given + "'", "resource_missing");
  return card->payment_method;
}

std::string read_cancellation_reason(const Form& form) {
  static constexpr std::array<std::string_view, 4> kReasons = {"duplicate", "fraudulent",
                                                               "requested_by_customer", "abandoned"};
  std::string reason = form.text("cancellation_reason").value_or("");
  if (!reason.empty() && std::find(kReasons.begin(), kReasons.end(), reason) == kReasons.end())
    throw ApiError::bad_request("cancellation_reason", "Invalid cancellation_reason: " + reason);
  return reason;
}

void ignore_common(const Form& form) {
  for (const std::string_view name :
       {"automatic_payment_methods", "payment_method_types", "payment_method_types[]",
        "payment_method_options", "return_url", "off_session", "confirmation_method", "customer",
        "receipt_email", "statement_descriptor", "statement_descriptor_suffix", "setup_future_usage",
        "error_on_requires_action", "use_stripe_sdk", "shipping", "transfer_group"}) {
    form.ignore(name);
  }
}

NewIntent read_new_intent(const Form& form) {
  NewIntent wanted{.amount = read_amount(form),
                   .currency = read_currency(form),
                   .capture_method = CaptureMethod::automatic,
                   .payment_method = read_payment_method(form),
                   .description = form.text("description").value_or(""),
                   .metadata = read_metadata(form),
                   .confirm = form.boolean("confirm").value_or(false),
                   .error_on_requires_action = form.boolean("error_on_requires_action").value_or(false)};
  if (form.text("capture_method").value_or("") != "automatic_async")  // the same, for us
    wanted.capture_method = read_choice(form, "capture_method", CaptureMethod::automatic);
  ignore_common(form);
  if (wanted.confirm && wanted.payment_method.empty())
    throw ApiError::bad_request(
        "payment_method", "You cannot confirm this PaymentIntent because it's missing a payment method.",
        "parameter_missing");
  return wanted;
}

NewRefund read_new_refund(const Form& form) {
  NewRefund wanted{.payment_intent = form.text("payment_intent").value_or(""),
                   .charge = form.text("charge").value_or(""),
                   .amount = form.integer("amount"),
                   .reason = form.text("reason").value_or(""),
                   .metadata = read_metadata(form)};
  if (wanted.payment_intent.empty() == wanted.charge.empty())
    throw ApiError::bad_request("payment_intent",
                                "One of the following params should be provided: payment_intent "
                                "or charge.",
                                "parameter_missing");
  return wanted;
}

std::string list_intents(const Context& ctx, sql::Database& database, const http::Request& request) {
  const Query query(request);
  query.refuse_others({"limit", "starting_after"});
  static const std::string sql = select_intents("id < $1 order by id desc limit $2");
  return list_of(database.query<Intent>(ctx, sql, query.before(), query.limit() + 1), query.limit(),
                 "/v1/payment_intents", [charge = query.charge("data.latest_charge")](const Intent& intent) {
                   return intent_json(intent, charge);
                 });
}

std::string search_intents(const Context& ctx, sql::Database& database, const http::Request& request) {
  const Query query(request);
  query.refuse_others({"query", "limit", "page"});
  const SearchQuery wanted = parse_search(query.text("query"));
  const std::int64_t limit = query.limit();
  static const std::string sql = select_intents(
      "id in (select intent_id from intent_metadata where name = $1 and value = $2) and id < $3 and ($4 = '' "
      "or "
      "status = $4) order by id desc limit $5");
  std::vector<Intent> found = database.query<Intent>(
      ctx, sql, wanted.name, wanted.value, query.before("page"), wanted.status.value_or(""), limit + 1);
  const bool more = found.size() > static_cast<std::size_t>(limit);
  if (more) found.pop_back();
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().member("object", "search_result").key("data").begin_array();
  for (const Intent& intent : found) writer.raw(intent_json(intent, query.charge("data.latest_charge")));
  writer.end_array().member("has_more", more).key("next_page");
  if (more) {
    writer.value(found.back().id);
  } else {
    writer.null();
  }
  writer.member("url", "/v1/payment_intents/search").end_object();
  return out;
}

std::string show_intent(const Context& ctx, sql::Database& database, const http::Request& request) {
  const std::string_view id = request.path_parameter("id");
  const auto intent = database.read(ctx, [&](sql::Snapshot& db) { return find_intent(db, id); });
  if (!intent) throw ApiError::missing("payment_intent", id, "intent");
  return intent_json(*intent, Query(request).charge("latest_charge"));
}

std::string show_charge(const Context& ctx, sql::Database& database, const http::Request& request) {
  const std::string_view id = request.path_parameter("id");
  const auto intent = database.read(ctx, [&](sql::Snapshot& db) { return find_intent_of_charge(db, id); });
  if (!intent) throw ApiError::missing("charge", id, "id");
  return charge_json(*intent);
}

std::string list_refunds(const Context& ctx, sql::Database& database, const http::Request& request) {
  const Query query(request);
  query.refuse_others({"limit", "starting_after", "payment_intent", "charge"});
  std::string intent_id = query.text("payment_intent");
  if (const std::string charge = query.text("charge"); charge.starts_with("ch_"))
    intent_id = "pi_" + charge.substr(3);  // as find_intent_of_charge() has it
  static const std::string columns =
      "select id, intent_id, charge_id, amount, currency, reason, metadata, created_at from refunds where ";
  static const std::string all = columns + "id < $1 order by id desc limit $2";
  static const std::string of_one = columns + "id < $1 and intent_id = $3 order by id desc limit $2";
  const std::int64_t limit = query.limit();
  const auto rows = intent_id.empty()
                        ? database.query<Refund>(ctx, all, query.before(), limit + 1)
                        : database.query<Refund>(ctx, of_one, query.before(), limit + 1, intent_id);
  return list_of(rows, limit, "/v1/refunds", refund_json);
}

std::string list_events(const Context& ctx, sql::Database& database, const http::Request& request) {
  const Query query(request);
  query.refuse_others({"limit", "starting_after", "type"});
  const auto rows = database.query<std::tuple<std::string>>(
      ctx, "select body from events where id < $1 and ($2 = '' or type = $2) order by id desc limit $3",
      query.before(), query.text("type"), query.limit() + 1);
  return list_of(rows, query.limit(), "/v1/events", [](const auto& row) { return std::get<0>(row); });
}

std::string show_event(const Context& ctx, sql::Database& database, const http::Request& request) {
  const std::string_view id = request.path_parameter("id");
  auto body = database.query_one<std::string>(ctx, "select body from events where id = $1", id);
  if (!body) throw ApiError::missing("event", id, "id");
  return std::move(*body);
}

}  // namespace holdfast::paysim
