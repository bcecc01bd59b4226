// How config.hpp turns a Tree into a described struct and back. Use config.hpp.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "holdfast/base/describe.hpp"
#include "holdfast/base/rules.hpp"
#include "holdfast/base/text_form.hpp"
#include "holdfast/config/secret.hpp"
#include "holdfast/config/tree.hpp"
#include "holdfast/config/units.hpp"

namespace holdfast::config {

/// Where a reading is: the path, and what it has found so far.
class Reader {
 public:
  Reader(Faults& faults, std::map<std::string, std::string>& origins, std::string_view environment_prefix)
      : faults_(faults), origins_(origins), environment_prefix_(environment_prefix) {}

  /// A step down, for as long as it lives.
  class [[nodiscard]] Step {
   public:
    Step(Reader& reader, std::string_view member) : reader_(reader), size_(reader.path_.size()) {
      if (!reader_.path_.empty()) reader_.path_ += '.';
      reader_.path_ += member;
    }
    Step(Reader& reader, std::size_t index) : reader_(reader), size_(reader.path_.size()) {
      reader_.path_ += '[' + std::to_string(index) + ']';
    }
    ~Step() { reader_.path_.resize(size_); }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    Reader& reader_;
    std::size_t size_;
  };

  void fault(const Tree& at, std::string message) { faults_.add(at.origin, path_, std::move(message)); }
  void fault_of(const Tree& at, const Violations& violations);
  void fault_required();
  void fault_unknown(const Tree& at, std::string_view member, const std::vector<std::string_view>& known);
  void fault_across(const Violations& violations);
  /// Adds the fault where it is not `wanted`.
  bool require(const Tree& at, Tree::Kind wanted, std::string_view called);
  void came_from(const Tree& at) { origins_[path_] = at.origin; }
  std::size_t fault_count() const noexcept { return faults_.kept().size(); }

  std::optional<bool> boolean(const Tree& at);
  std::optional<std::int64_t> integer(const Tree& at, std::int64_t least, std::int64_t most);
  std::optional<std::uint64_t> natural(const Tree& at, std::uint64_t least, std::uint64_t most);
  std::optional<double> real(const Tree& at);
  std::optional<Duration> duration(const Tree& at, Duration unit);
  std::optional<Secret> secret(const Tree& at);
  std::optional<ByteSize> byte_size(const Tree& at);
  void fault_range(const Tree& at, std::string_view least, std::string_view most);
  void fault_choice(const Tree& at, const std::vector<std::string_view>& choices);
  void fault_form(const Tree& at, const TextSchema& schema);

 private:
  Faults& faults_;
  std::map<std::string, std::string>& origins_;
  std::string_view environment_prefix_;
  std::string path_;
};

namespace detail {

template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;
template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;
template <class T>
inline constexpr bool kIsMap = false;
template <class T>
inline constexpr bool kIsMap<std::map<std::string, T>> = true;
template <class T, class Less>
inline constexpr bool kIsMap<std::map<std::string, T, Less>> = true;
template <class T>
inline constexpr bool kIsDuration = false;
template <class Rep, class Period>
inline constexpr bool kIsDuration<std::chrono::duration<Rep, Period>> = true;
template <class T>
inline constexpr bool kNotASetting = false;  // depends on T: fails only where it is reached

template <Described T>
std::vector<std::string_view> member_names() {
  std::vector<std::string_view> names;
  for_each_member<T>([&](std::string_view name, auto) { names.push_back(name); });
  return names;
}

template <DescribedEnum E>
std::vector<std::string_view> enumerator_names() {
  std::vector<std::string_view> names;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<E>>(
      [&](auto enumerator) { names.emplace_back(enumerator.name); });
  return names;
}

/// What the rules say of a value that is there, whatever it came from.
template <class T>
void check(const FieldRule& rule, const T& value, Violations& faults) {
  if constexpr (std::same_as<T, bool>) {
  } else if constexpr (std::signed_integral<T>) {
    check_integer(rule, std::int64_t{value}, faults);
  } else if constexpr (std::unsigned_integral<T>) {
    check_integer(rule, std::uint64_t{value}, faults);
  } else if constexpr (std::floating_point<T>) {
    check_number(rule, value, faults);
  } else if constexpr (std::same_as<T, std::string>) {
    check_text(rule, value, faults);
  } else if constexpr (std::same_as<T, Secret>) {
    check_text(rule, value.reveal(), faults);
  } else if constexpr (std::same_as<T, ByteSize>) {
    check_integer(rule, value.bytes, faults);
  } else if constexpr (kIsDuration<T>) {
    check_integer(rule, static_cast<std::int64_t>(value.count()), faults);
  } else if constexpr (kIsOptional<T>) {
    if (value) check(rule, *value, faults);
  } else if constexpr (kIsVector<T> || kIsMap<T>) {
    check_size(rule, value.size(), faults);
  }
}

template <Described T>
void collect(std::vector<Setting>& settings, const std::string& prefix);

template <class T>
void collect_member(std::vector<Setting>& settings, const std::string& path) {
  if constexpr (Described<T> && !HasTextForm<T>) {
    collect<T>(settings, path + ".");
  } else if constexpr (kIsOptional<T>) {
    collect_member<typename T::value_type>(settings, path);
  } else if constexpr (kIsVector<T>) {
    using Item = typename T::value_type;
    settings.push_back(
        {path, Described<Item> && !HasTextForm<Item> ? Setting::Shape::list_of_maps : Setting::Shape::list});
  } else if constexpr (kIsMap<T>) {
    using Item = typename T::mapped_type;
    settings.push_back(
        {path, Described<Item> && !HasTextForm<Item> ? Setting::Shape::map_of_maps : Setting::Shape::map});
  } else {
    settings.push_back({path, Setting::Shape::value});
  }
}

template <Described T>
void collect(std::vector<Setting>& settings, const std::string& prefix) {
  for_each_member_info<T>([&](auto member) {
    using M = decltype(member);
    collect_member<typename M::type>(settings, prefix + std::string(M::name));
  });
}

template <class I>
void read_integer(Reader& reader, const Tree& tree, I& out, const FieldRule& rule) {
  if constexpr (std::signed_integral<I>) {
    const auto value =
        reader.integer(tree, std::max<std::int64_t>(rule.minimum, std::numeric_limits<I>::min()),
                       std::min<std::int64_t>(rule.maximum, std::numeric_limits<I>::max()));
    if (value) out = static_cast<I>(*value);
  } else {
    std::uint64_t most = std::numeric_limits<I>::max();
    if (rule.maximum != FieldRule::kHighest) most = std::min(most, static_cast<std::uint64_t>(rule.maximum));
    const auto value =
        reader.natural(tree, static_cast<std::uint64_t>(std::max<std::int64_t>(rule.minimum, 0)), most);
    if (value) out = static_cast<I>(*value);
  }
}

template <class D>
void read_duration(Reader& reader, const Tree& tree, D& out, const FieldRule& rule) {
  const auto value = reader.duration(tree, std::chrono::duration_cast<Duration>(D(1)));
  if (!value) return;
  out = std::chrono::duration_cast<D>(*value);
  if (out.count() >= rule.minimum && out.count() <= rule.maximum) return;
  const auto text = [](std::int64_t count) {
    return format_duration(std::chrono::duration_cast<Duration>(D(count)));
  };
  reader.fault_range(tree, rule.minimum == FieldRule::kLowest ? "0s" : text(rule.minimum),
                     rule.maximum == FieldRule::kHighest ? "" : text(rule.maximum));
}

inline void read_byte_size(Reader& reader, const Tree& tree, ByteSize& out, const FieldRule& rule) {
  const auto value = reader.byte_size(tree);
  if (!value) return;
  out = *value;
  Violations violations;
  check_integer(rule, out.bytes, violations);
  if (violations.empty()) return;
  const auto text = [](std::int64_t bytes) {
    return format_byte_size({static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0))});
  };
  reader.fault_range(tree, text(rule.minimum), rule.maximum == FieldRule::kHighest ? "" : text(rule.maximum));
}

template <class T>
concept ValidatesItself = requires(const T& value, Violations& faults) {
  value.validate(faults);
};

}  // namespace detail

template <Described T>
std::vector<Setting> settings_of() {
  std::vector<Setting> settings;
  detail::collect<T>(settings, "");
  return settings;
}

template <Described T>
void read(Reader& reader, const Tree& tree, T& out);

template <class T>
void read_value(Reader& reader, const Tree& tree, T& out, const FieldRule& rule = {}) {
  const auto check_rules = [&] {
    Violations violations;
    detail::check(rule, out, violations);
    reader.fault_of(tree, violations);
  };
  if constexpr (detail::kIsOptional<T>) {
    if (tree.kind == Tree::Kind::none) return out.reset();
    read_value(reader, tree, out.emplace(), rule);
  } else if constexpr (detail::kIsVector<T>) {
    if (!reader.require(tree, Tree::Kind::list, "a list")) return;
    out.clear();
    for (std::size_t i = 0; i < tree.items.size(); ++i) {
      const Reader::Step step(reader, i);
      FieldRule item_rule = rule;
      item_rule.min_size = 0;
      item_rule.max_size = FieldRule::kNoMaximum;
      typename T::value_type item{};
      read_value(reader, tree.items[i], item, item_rule);
      out.push_back(std::move(item));
    }
    check_rules();
  } else if constexpr (detail::kIsMap<T>) {
    if (!reader.require(tree, Tree::Kind::map, "a map")) return;
    using Item = typename T::mapped_type;
    if constexpr (!Described<Item> || HasTextForm<Item>) out.clear();  // structs are laid over their defaults
    for (const auto& [key, value] : tree.members) {
      const Reader::Step step(reader, key);
      read_value(reader, value, out[key]);
    }
    check_rules();
  } else if constexpr (Described<T> && !HasTextForm<T>) {
    read(reader, tree, out);
  } else if (!reader.require(tree, Tree::Kind::text, "a single value")) {
    return;
  } else if constexpr (std::same_as<T, bool>) {
    if (const auto value = reader.boolean(tree)) out = *value;
  } else if constexpr (std::integral<T>) {
    detail::read_integer(reader, tree, out, rule);
  } else if constexpr (std::floating_point<T>) {
    const auto value = reader.real(tree);
    if (!value) return;
    out = static_cast<T>(*value);
    check_rules();
  } else if constexpr (std::same_as<T, std::string>) {
    out = tree.text;
    check_rules();
  } else if constexpr (std::same_as<T, Secret>) {
    auto value = reader.secret(tree);
    if (!value) return;
    out = std::move(*value);
    check_rules();
  } else if constexpr (detail::kIsDuration<T>) {
    detail::read_duration(reader, tree, out, rule);
  } else if constexpr (std::same_as<T, ByteSize>) {
    detail::read_byte_size(reader, tree, out, rule);
  } else if constexpr (DescribedEnum<T>) {
    if (const auto value = enum_from_name<T>(tree.text)) {
      out = *value;
    } else {
      reader.fault_choice(tree, detail::enumerator_names<T>());
    }
  } else if constexpr (HasTextForm<T>) {
    if (auto value = parse_text<T>(tree.text)) {
      out = std::move(*value);
    } else {
      reader.fault_form(tree, TextForm<T>::schema);
    }
  } else {
    static_assert(detail::kNotASetting<T>, "not a type of settings; see config.hpp");
  }
}

template <Described T>
void read(Reader& reader, const Tree& tree, T& out) {
  if (tree.kind != Tree::Kind::none && !reader.require(tree, Tree::Kind::map, "a map of settings")) return;
  const std::size_t faults_before = reader.fault_count();
  for (const auto& [name, value] : tree.members) {
    const auto known = detail::member_names<T>();
    if (std::find(known.begin(), known.end(), name) == known.end()) reader.fault_unknown(value, name, known);
  }
  for_each_member_info<T>([&](auto member) {
    using M = decltype(member);
    using Value = typename M::type;
    constexpr bool kNested = Described<Value> && !HasTextForm<Value>;
    const Reader::Step step(reader, M::name);
    const Tree* given = tree.find(M::name);
    Value& value = out.*M::pointer;
    if constexpr (kNested) {
      static const Tree kNothing;
      read(reader, given != nullptr ? *given : kNothing, value);
    } else if (given != nullptr) {
      reader.came_from(*given);
      read_value(reader, *given, value, kRuleOf<T, M::index>);
    } else {
      Violations violations;
      detail::check(kRuleOf<T, M::index>, value, violations);
      if (!violations.empty()) reader.fault_required();
    }
  });
  if constexpr (detail::ValidatesItself<T>) {
    if (reader.fault_count() != faults_before) return;  // rules across settings may rely on each being sound
    Violations violations;
    out.validate(violations);
    reader.fault_across(violations);
  }
}

template <class T>
Tree to_tree(const T& value) {
  const auto text = [](std::string content, bool bare) {
    return Tree{.kind = Tree::Kind::text, .text = std::move(content), .bare = bare};
  };
  if constexpr (detail::kIsOptional<T>) {
    return value ? to_tree(*value) : Tree{};
  } else if constexpr (detail::kIsVector<T>) {
    Tree tree{.kind = Tree::Kind::list};
    for (const auto& item : value) tree.items.push_back(to_tree(item));
    return tree;
  } else if constexpr (detail::kIsMap<T>) {
    Tree tree{.kind = Tree::Kind::map};
    for (const auto& [key, item] : value) tree.members.emplace_back(key, to_tree(item));
    return tree;
  } else if constexpr (std::same_as<T, bool>) {
    return text(value ? "true" : "false", true);
  } else if constexpr (std::integral<T>) {
    return text(std::to_string(value), true);
  } else if constexpr (std::floating_point<T>) {
    return text(to_json_number(static_cast<double>(value)), true);
  } else if constexpr (std::same_as<T, std::string>) {
    return text(value, false);
  } else if constexpr (detail::kIsDuration<T>) {
    return text(format_duration(std::chrono::duration_cast<Duration>(value)), false);
  } else if constexpr (DescribedEnum<T>) {
    return text(std::string(enum_name(value)), false);
  } else if constexpr (HasTextForm<T>) {
    return text(to_text(value), false);
  } else {
    Tree tree{.kind = Tree::Kind::map};
    for_each_member<T>([&](std::string_view name, auto pointer) {
      tree.members.emplace_back(std::string(name), to_tree(value.*pointer));
    });
    return tree;
  }
}

}  // namespace holdfast::config
