#include "holdfast/config/config.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "holdfast/base/error.hpp"
#include "holdfast/config/internal/spelling.hpp"
#include "holdfast/config/internal/yaml.hpp"

namespace holdfast::config {

namespace {

constexpr std::size_t kMaxSecretBytes = 64 * 1024;

/// At most `limit` + 1 bytes of it; empty with errno where it can't be read.
std::optional<std::string> read_file(const std::string& path, std::size_t limit) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO must not hang us
  if (descriptor < 0) return std::nullopt;
  std::string text;
  text.resize(limit + 1);
  std::size_t size = 0;
  ssize_t got = 0;
  while (size < text.size() && (got = ::read(descriptor, text.data() + size, text.size() - size)) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) break;
    size += static_cast<std::size_t>(got);
  }
  const int failure = errno;
  ::close(descriptor);
  errno = failure;
  if (got < 0) return std::nullopt;
  text.resize(size);
  return text;
}

std::string why_not() { return fmt::format("can't be read: {}", std::strerror(errno)); }

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

Tree text_tree(std::string_view text, const std::string& origin) {
  return {.kind = Tree::Kind::text, .text = std::string(text), .origin = origin};
}

/// One text of the environment or a flag in the shape of its setting: "a,b" for a list, "a=1,b=2" for a
/// map.
std::optional<Tree> shaped(Setting::Shape shape, const std::string& text, const std::string& origin) {
  if (shape == Setting::Shape::value) return text_tree(text, origin);
  if (shape == Setting::Shape::list_of_maps || shape == Setting::Shape::map_of_maps) return std::nullopt;
  Tree tree{.kind = shape == Setting::Shape::list ? Tree::Kind::list : Tree::Kind::map, .origin = origin};
  for (std::string_view rest = text; !trimmed(rest).empty();) {
    const std::size_t comma = rest.find(',');
    const std::string_view part = trimmed(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    if (tree.kind == Tree::Kind::list) {
      tree.items.push_back(text_tree(part, origin));
      continue;
    }
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    tree.members.emplace_back(trimmed(part.substr(0, equals)),
                              text_tree(trimmed(part.substr(equals + 1)), origin));
  }
  return tree;
}

/// The map at `path`, made with all above it where nothing is there. Null where something else than a
/// map is on the way: reading it will report that.
Tree* way_to(Tree& root, std::string_view path, const std::string& origin) {
  Tree* at = &root;
  while (true) {
    if (at->kind == Tree::Kind::none) at->kind = Tree::Kind::map;
    if (at->kind != Tree::Kind::map) return nullptr;
    if (path.empty()) return at;
    const std::size_t dot = path.find('.');
    const std::string_view name = path.substr(0, dot);
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
    Tree* below = at->find(name);
    at = below != nullptr ? below
                          : &at->members.emplace_back(std::string(name), Tree{.origin = origin}).second;
  }
}

void put_member(Tree& map, std::string_view name, Tree value) {
  if (Tree* existing = map.find(name)) {
    *existing = std::move(value);
  } else {
    map.members.emplace_back(std::string(name), std::move(value));
  }
}

void put(Tree& root, std::string_view path, Tree value) {
  const std::size_t dot = path.rfind('.');
  const std::string_view above = dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
  if (Tree* map = way_to(root, above, value.origin)) put_member(*map, path.substr(dot + 1), std::move(value));
}

void apply_file(const Sources& sources, Tree& root, Faults& faults) {
  if (sources.file.empty()) {
    if (!sources.yaml.empty()) root = parse_yaml(sources.yaml, sources.yaml_name, faults);
    return;
  }
  const auto text = read_file(sources.file, kMaxYamlBytes);
  if (!text) return faults.add(sources.file, "", why_not());
  root = parse_yaml(*text, sources.file, faults);
}

void apply_environment(const Sources& sources, const std::vector<Setting>& settings, Tree& root,
                       Faults& faults) {
  std::vector<std::string> names;
  for (const Setting& setting : settings)
    names.push_back(variable_name(sources.environment_prefix, setting.path));
  for (const auto& [name, value] : sources.environment) {
    if (!name.starts_with(sources.environment_prefix)) continue;
    const std::string origin = "environment " + name;
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) {
      if (std::ranges::find(sources.other_variables, name) != sources.other_variables.end()) continue;
      faults.add(origin, "", "unknown setting" + suggestion(name, {names.begin(), names.end()}));
      continue;
    }
    const Setting& setting = settings[static_cast<std::size_t>(found - names.begin())];
    auto tree = shaped(setting.shape, value, origin);
    if (!tree) {
      faults.add(origin, setting.path,
                 setting.shape == Setting::Shape::map ? "must be like name=value,name=value"
                                                      : "can be set in the file only");
      continue;
    }
    put(root, setting.path, std::move(*tree));
  }
}

void apply_overrides(const Sources& sources, const std::vector<Setting>& settings, Tree& root,
                     Faults& faults) {
  for (const Override& given : sources.overrides) {
    const auto found = std::ranges::find_if(settings, [&](const Setting& setting) {
      return setting.path == given.path ||
             ((setting.shape == Setting::Shape::map || setting.shape == Setting::Shape::map_of_maps) &&
              given.path.starts_with(setting.path + "."));
    });
    if (found == settings.end()) {
      std::vector<std::string_view> paths;
      for (const Setting& setting : settings) paths.emplace_back(setting.path);
      faults.add(given.origin, given.path, "unknown setting" + suggestion(given.path, paths));
      continue;
    }
    if (found->path == given.path) {
      auto tree = shaped(found->shape, given.value, given.origin);
      if (!tree) {
        faults.add(given.origin, given.path, "can't be set by a flag like this");
        continue;
      }
      put(root, given.path, std::move(*tree));
      continue;
    }
    if (found->shape == Setting::Shape::map_of_maps) {  // a setting of an entry: "dependencies.x.retry.tries"
      put(root, given.path, text_tree(given.value, given.origin));
      continue;
    }
    // An entry of a map, whose own name may have dots: "log.levels.http.server".
    Tree* map = way_to(root, found->path, given.origin);
    if (map == nullptr) continue;
    put_member(*map, given.path.substr(found->path.size() + 1), text_tree(given.value, given.origin));
  }
}

}  // namespace

Tree* Tree::find(std::string_view member) noexcept {
  for (auto& [name, tree] : members) {
    if (name == member) return &tree;
  }
  return nullptr;
}

const Tree* Tree::find(std::string_view member) const noexcept {
  return const_cast<Tree*>(this)->find(member);
}

std::string_view to_string(Tree::Kind kind) noexcept {
  switch (kind) {
    case Tree::Kind::none: return "nothing";
    case Tree::Kind::text: return "a single value";
    case Tree::Kind::list: return "a list";
    case Tree::Kind::map: return "a map";
  }
  return "nothing";
}

std::string to_json_number(double value) { return std::isfinite(value) ? fmt::format("{}", value) : "null"; }

std::optional<Secret> read_secret_file(const std::string& path, std::string& problem) {
  auto text = read_file(path, kMaxSecretBytes);
  if (!text) {
    problem = why_not();
    return std::nullopt;
  }
  if (text->ends_with('\n')) text->pop_back();
  if (text->ends_with('\r')) text->pop_back();
  if (text->size() > kMaxSecretBytes) {
    problem = "is larger than 64 KiB";
  } else if (text->find_first_of(std::string_view("\n\r\0", 3)) != std::string::npos) {
    problem = "has more than one line";
  } else if (text->empty()) {
    problem = "is empty";
  } else {
    return Secret(std::move(*text));
  }
  return std::nullopt;
}

std::vector<std::pair<std::string, std::string>> process_environment() {
  std::vector<std::pair<std::string, std::string>> all;
  for (char** at = ::environ; at != nullptr && *at != nullptr; ++at) {
    const std::string_view entry(*at);
    const std::size_t equals = entry.find('=');
    if (equals != std::string_view::npos) all.emplace_back(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return all;
}

Override parse_override(std::string_view assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == 0 || equals == std::string_view::npos) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--set takes path=value, as in --set http.address=127.0.0.1:8080; \"{}\" is not.",
                            assignment));
  }
  const std::string path(assignment.substr(0, equals));
  return {.path = path, .value = std::string(assignment.substr(equals + 1)), .origin = "--set " + path};
}

Tree detail::gather(const Sources& sources, const std::vector<Setting>& settings, Faults& faults) {
  Tree root;
  apply_file(sources, root, faults);
  apply_environment(sources, settings, root, faults);
  apply_overrides(sources, settings, root, faults);
  return root;
}

void detail::throw_if_any(const Faults& faults) {
  if (faults.kept().empty()) return;
  const std::size_t count = faults.kept().size();
  std::string detail = fmt::format("The configuration has {} fault{}:", count, count == 1 ? "" : "s");
  std::vector<FieldViolation> violations;
  for (const Fault& fault : faults.kept()) {
    std::string line = fault.origin;
    if (!fault.path.empty()) line.append(line.empty() ? "" : ": ").append(fault.path);
    line.append(line.empty() ? "" : ": ").append(fault.message);
    detail.append("\n  ").append(line);
    violations.push_back({.pointer = fault.path, .code = "invalid_setting", .message = std::move(line)});
  }
  throw Error(ErrorCode::invalid_argument, std::move(detail))
      .reason("invalid_configuration")
      .violations(std::move(violations));
}

}  // namespace holdfast::config
