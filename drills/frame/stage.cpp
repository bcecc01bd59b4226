#include "drills/frame/stage.hpp"

#include <stdlib.h>

#include <thread>

namespace holdfast::drills {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

fs::path make_folder(const fs::path& under) {
  std::string pattern = (under / "holdfast-drill-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("making a folder in " + under.string());
  return pattern;
}

}  // namespace

Stage::Stage(std::string drill, StageOptions options)
    : options_(std::move(options)), started_(std::chrono::steady_clock::now()), random_(options_.seed) {
  report_.drill = std::move(drill);
  report_.seed = options_.seed;
  folder_ = make_folder(fs::temp_directory_path());
  mail_folder_ = make_folder(place_for_mail());
  if (options_.belongings == nullptr) return;
  options_.belongings->add_folder(folder_);
  options_.belongings->add_folder(mail_folder_);
}

Stage::~Stage() {
  shop_.reset();
  database_.reset();
  paysim_.reset();
  carriersim_.reset();
  std::error_code ignored;
  for (const fs::path& folder : {folder_, mail_folder_}) {
    if (report_.kept.empty()) fs::remove_all(folder, ignored);
    if (options_.belongings) options_.belongings->forget_folder(folder);
  }
}

sql::PostgresServer& Stage::need_own_postgres() {
  if (sql::PostgresServer::not_wanted()) throw NotPossible(sql::PostgresServer::kNotWanted);
  options_.database = DrillDatabase::kOwn;
  open_database();
  return database_->server();
}

void Stage::open_database() {
  if (options_.database.empty() || database_) return;
  if (options_.database == DrillDatabase::kOwn && !sql::PostgresServer::installed())
    throw NotPossible(sql::PostgresServer::kMissing);
  database_ = std::make_unique<DrillDatabase>(options_.database, options_.belongings);
  say("its database is " + database_->shown());
}

Shop& Stage::open_shop(std::map<std::string, std::string> environment) {
  open_database();
  ShopOptions options{.environment = std::move(environment),
                      .folder = folder_ / "shop",
                      .mail_folder = mail_folder_,
                      .belongings = options_.belongings};
  if (database_) {
    options.database_url = database_->url();
    options.lease = "1s";  // a heartbeat is a commit that takes turns with others
  }
  shop_ = std::make_unique<Shop>(std::move(options));
  say("the shop is open on port " + std::to_string(shop_->server().port()));
  return *shop_;
}

Shop& Stage::open_paid_shop(std::map<std::string, std::string> environment) {
  const Finished settings = drills::run({.command = {holdfast_binary(), "config", "print"},
                                         .folder = folder_,
                                         .name = "config",
                                         .belongings = options_.belongings});
  if (settings.out.find("\npayments:") == std::string::npos) {
    throw NotPossible("this holdfast has no payments: `holdfast config print` does not know them");
  }
  for (const char* simulator : {"paysim", "carriersim"}) {
    try {
      binary(simulator);
    } catch (const std::runtime_error& missing) {
      throw NotPossible(missing.what());
    }
  }
  paysim_ = std::make_unique<PaysimProcess>(
      PaysimOptions{.folder = folder_ / "paysim", .belongings = options_.belongings});
  carriersim_ = std::make_unique<CarriersimProcess>(
      SimulatorOptions{.folder = folder_ / "carriersim", .belongings = options_.belongings});
  say("paysim takes payments on port " + std::to_string(paysim_->port()) + ", carriersim takes goods on " +
      std::to_string(carriersim_->port()));
  environment.try_emplace("HOLDFAST_PAYMENTS_PROVIDER", "stripe");
  environment.try_emplace("HOLDFAST_PAYMENTS_STRIPE_URL", paysim_->url());
  environment.try_emplace("HOLDFAST_PAYMENTS_STRIPE_SECRET_KEY", PaysimProcess::kSecretKey);
  environment.try_emplace("HOLDFAST_PAYMENTS_STRIPE_WEBHOOK_SECRET", PaysimProcess::kWebhookSecret);
  environment.try_emplace("HOLDFAST_PAYMENTS_DEFAULT_METHOD", "pm_card_visa");
  environment.try_emplace("HOLDFAST_SHIPPING_CARRIER", "legacy");
  environment.try_emplace("HOLDFAST_SHIPPING_LEGACY_URL", carriersim_->url());
  Shop& shop = open_shop(std::move(environment));
  paysim_->send_webhooks_to(shop.server().url() + "/v1/webhooks/payments");
  return shop;
}

Shop& Stage::open_paid_shop_where_possible(std::map<std::string, std::string> environment) {
  try {
    return open_paid_shop(environment);
  } catch (const NotPossible& reason) {
    say(std::string("without payments: ") + reason.what());
    return open_shop(std::move(environment));
  }
}

std::unique_ptr<Process> Stage::start_worker(const std::map<std::string, std::string>& environment) {
  auto& all = shop_->server().options().environment;
  const auto kept = all;
  for (const auto& [name, value] : environment) all[name] = value;
  auto worker = shop_->server().spawn({"worker"});
  all = kept;
  return worker;
}

void Stage::wait(std::chrono::milliseconds time) { std::this_thread::sleep_for(time); }

bool Stage::wait_until(std::chrono::milliseconds at_most, const std::function<bool()>& holds) {
  const auto until = std::chrono::steady_clock::now() + at_most;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

void Stage::say(std::string_view text) {
  const std::lock_guard lock(saying_);
  if (options_.say) options_.say(text);
}

void Stage::figure(const std::string& name, double value, const std::string& unit) {
  report_.figures.push_back({.name = name, .value = value, .unit = unit});
  say(name + ": " + with_unit(value, unit));
}

bool Stage::check(const std::string& what, bool held, const std::string& evidence) {
  report_.checks.push_back({.what = what, .held = held, .evidence = evidence});
  if (!held) say("FAILED " + what + ": " + evidence);
  return held;
}

Report Stage::finish() {
  shop_.reset();
  database_.reset();
  paysim_.reset();
  carriersim_.reset();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started_;
  report_.seconds = took.count();
  if (options_.keep && report_.verdict() == Verdict::failed) {
    report_.kept = folder_;
    std::error_code ignored;
    fs::create_symlink(mail_folder_, folder_ / "mail-elsewhere", ignored);
  }
  return report_;
}

}  // namespace holdfast::drills
