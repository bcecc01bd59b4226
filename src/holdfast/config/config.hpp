// Typed settings: a described struct filled from its own defaults < a YAML file < the environment <
// flags, all of it checked before anything starts, and never changed afterwards.
//
//   struct HttpSettings { std::string address = "127.0.0.1:8080"; Duration idle_timeout = 75s; };
//   HOLDFAST_DESCRIBE(HttpSettings, (address, idle_timeout))
//   struct Settings { HttpSettings http; };            // and HOLDFAST_DESCRIBE(Settings, (http))
//   const config::Loaded<Settings> settings = config::load<Settings>({.file = "holdfast.yaml", …});
//   settings->http.address                             // HOLDFAST_HTTP_ADDRESS, --set http.address=…
//
// Members may be bool, numbers, std::string, described enums, chrono durations ("200ms"), ByteSize,
// Secret, what has a TextForm; std::optional, std::vector and std::map<std::string, …> of those;
// described structs, vectors and maps of them. Rules are those of base/rules.hpp; a range counts in the
// member's own unit. A default that breaks its rule makes the setting a required one.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/config/reader.hpp"
#include "holdfast/config/secret.hpp"
#include "holdfast/config/tree.hpp"
#include "holdfast/config/units.hpp"

namespace holdfast::config {

/// A setting given on the command line.
struct Override {
  std::string path;    ///< "http.address"; "log.levels.sql" for an entry of a map
  std::string value;   ///< of a list: "a,b"
  std::string origin;  ///< as in messages: "--set http.address", "--port"
};

struct Sources {
  std::string file;  ///< path of a YAML file; empty: none
  std::string yaml;  ///< or its text itself, called `yaml_name` in messages
  std::string yaml_name = "holdfast.yaml";
  std::vector<std::pair<std::string, std::string>> environment;  ///< see process_environment()
  std::string environment_prefix = "HOLDFAST_";                  ///< variables without it are not looked at
  std::vector<std::string> other_variables;  ///< with the prefix, but no settings: "HOLDFAST_FAULT_KILL"
  std::vector<Override> overrides;           ///< the last one of a path counts
};

/// The process's environment, for Sources::environment.
std::vector<std::pair<std::string, std::string>> process_environment();

/// Reads "http.address=127.0.0.1:80" of `--set`. Throws Error(invalid_argument) without an '='.
Override parse_override(std::string_view assignment);

/// Settings and where each came from. Immutable.
template <Described T>
class Loaded {
 public:
  Loaded(T value, std::map<std::string, std::string> origins)
      : value_(std::move(value)), origins_(std::move(origins)) {}
  const T& operator*() const noexcept { return value_; }
  const T* operator->() const noexcept { return &value_; }
  /// Where each setting that is not a default came from, by path.
  const std::map<std::string, std::string>& origins() const noexcept { return origins_; }

 private:
  T value_;
  std::map<std::string, std::string> origins_;
};

namespace detail {
/// What file, environment and overrides say together.
Tree gather(const Sources& sources, const std::vector<Setting>& settings, Faults& faults);
void throw_if_any(const Faults& faults);
}  // namespace detail

/// Throws Error(invalid_argument, "invalid_configuration") that lists every fault with its origin, one a
/// line: "holdfast.yaml:12: http.port: 70000 is out of range 0..65535".
template <Described T>
Loaded<T> load(const Sources& sources) {
  Faults faults;
  const Tree tree = detail::gather(sources, settings_of<T>(), faults);
  T value{};
  std::map<std::string, std::string> origins;
  Reader reader(faults, origins, sources.environment_prefix);
  read(reader, tree, value);
  detail::throw_if_any(faults);
  return Loaded<T>(std::move(value), std::move(origins));
}

enum class PrintFormat : std::uint8_t {
  yaml,  ///< with each value's origin as a comment; can be used as a file, but for its secrets
  json,  ///< {"settings": {…}, "origins": {"http.address": "environment HOLDFAST_HTTP_ADDRESS"}}
};

std::string print_tree(const Tree& tree, const std::map<std::string, std::string>& origins,
                       PrintFormat format);

/// Every setting. Secrets are shown as "***".
template <Described T>
std::string print(const Loaded<T>& loaded, PrintFormat format) {
  return print_tree(to_tree(*loaded), loaded.origins(), format);
}

}  // namespace holdfast::config
