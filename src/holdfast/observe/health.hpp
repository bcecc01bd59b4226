// What /health/ready answers from. Components say how they are, or are asked; /health/live needs none
// of this, since a process that answers is alive whatever its dependencies do.
//
//   Health health(clock);
//   auto database = health.add("database", {.critical = true});
//   database.set(Readiness::ready);            ...  database.set(Readiness::not_ready, "disk full");
//   auto mail = health.add_probe("smtp", {.critical = false, .timeout = 500ms},
//                                [&](Duration timeout) { return ask_smtp(timeout); });
//
// Thread-safety: any thread. Checks must not outlive their Health, nor their probes end while report()
// runs: stop the server first.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/clock.hpp"

namespace holdfast::observe {

enum class Readiness : std::uint8_t {
  ready,
  degraded,   ///< works with less: still gets traffic
  not_ready,  ///< a critical check that is not ready takes the process out of rotation
};

/// "ready", "degraded", "not_ready".
std::string_view to_string(Readiness readiness) noexcept;

struct HealthState {
  Readiness readiness = Readiness::ready;
  std::string reason{};  ///< for the operator; shown to whoever may see /health/ready, so no secrets
};

struct HealthReport {
  struct Line {
    std::string name;
    bool critical = false;
    HealthState state;
    Duration since{};  ///< how long it has been so; zero for a probe
  };
  Readiness readiness = Readiness::ready;
  std::vector<Line> checks;  ///< by name

  /// {"status":"degraded","checks":[{"name":"smtp","status":"not_ready","critical":false,"reason":"…"}]}
  std::string to_json() const;
  int http_status() const noexcept { return readiness == Readiness::not_ready ? 503 : 200; }
};

struct CheckOptions {
  bool critical = true;                        ///< false: when it is not ready, the whole is only degraded
  Duration timeout = std::chrono::seconds(1);  ///< of a probe
};

class Health {
 public:
  static constexpr std::size_t kMaxChecks = 100;

  /// Gone when destroyed.
  class [[nodiscard]] Check {
   public:
    Check() = default;
    Check(Check&& other) noexcept;
    Check& operator=(Check&& other) noexcept;
    ~Check();
    void set(Readiness readiness, std::string reason = {});

   private:
    friend class Health;
    struct Entry;
    Check(Health* health, std::shared_ptr<Entry> entry);
    void remove() noexcept;
    Health* health_ = nullptr;
    std::shared_ptr<Entry> entry_;  // shared with the Health, and with a report being made
  };

  using Probe = std::function<HealthState(Duration timeout)>;

  /// `clock` must outlive it.
  explicit Health(const Clock& clock);
  ~Health();
  Health(const Health&) = delete;
  Health& operator=(const Health&) = delete;

  /// Not ready ("starting") until it is set. Throws Error(internal) for a name taken or over kMaxChecks.
  Check add(std::string name, CheckOptions options = {});

  /// Asked at each report, on the reporter's fiber or thread, without any lock: it may wait, but must
  /// be back within `timeout`. One that takes longer, or throws, is not ready.
  Check add_probe(std::string name, CheckOptions options, Probe probe);

  /// From now on never ready: the process is about to stop, and new work should go elsewhere.
  void start_draining();

  HealthReport report() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::observe
