#include "holdfast/runtime/process_mark.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>

namespace holdfast::runtime {
namespace {

std::optional<std::string> contents(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Where marks can be compared: this boot and this namespace of processes. Empty: can't be told.
std::string place() {
  const auto boot = contents("/proc/sys/kernel/random/boot_id");
  struct stat space {};
  if (!boot || boot->size() < 13 || ::stat("/proc/self/ns/pid", &space) != 0) return {};
  return boot->substr(0, 8) + boot->substr(9, 4) + "-" + std::to_string(space.st_ino);
}

/// State and start time (in ticks since boot) of a process: the 3rd and the 22nd field of /proc/<pid>/stat,
/// whose 2nd, the command in brackets, may hold anything. Nothing where there is no such process.
struct Seen {
  char state = '?';
  std::string started;
};
std::optional<Seen> look_at(std::string_view pid) {
  const auto text = contents("/proc/" + std::string(pid) + "/stat");
  if (!text) return std::nullopt;
  const std::size_t bracket = text->rfind(')');
  if (bracket == std::string::npos) return std::nullopt;
  std::istringstream fields(text->substr(bracket + 1));
  Seen seen;
  fields >> seen.state;
  for (int field = 4; field <= 22; ++field) fields >> seen.started;
  if (!fields) return std::nullopt;
  return seen;
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

std::string process_mark() {
  const std::string here = place();
  const std::string pid = std::to_string(::getpid());
  const auto self = look_at(pid);
  if (here.empty() || !self) return "unknown";
  return here + "-" + pid + "-" + self->started;
}

bool process_gone(std::string_view mark) {
  const std::string here = place();
  if (here.empty() || !mark.starts_with(here + "-")) return false;
  mark.remove_prefix(here.size() + 1);
  const std::size_t dash = mark.find('-');
  if (dash == std::string_view::npos) return false;
  const std::string_view pid = mark.substr(0, dash);
  const std::string_view started = mark.substr(dash + 1);
  if (!all_digits(pid) || !all_digits(started)) return false;
  const auto seen = look_at(pid);
  if (!seen) return ::access("/proc/self/stat", R_OK) == 0;  // without /proc nothing can be told
  // One that has ended but was not yet waited for by its parent runs no more.
  return seen->started != started || seen->state == 'Z' || seen->state == 'X';
}

}  // namespace holdfast::runtime
