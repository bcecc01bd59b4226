// One declaration of a struct, from which everything else about it follows: JSON, validation, OpenAPI
// schema (base/reflect.hpp), row mapping (sql/), typed settings (config/).
//
//   struct OrderItem { std::string sku; std::int64_t quantity = 0; };
//   HOLDFAST_DESCRIBE(OrderItem, (sku, quantity))
//   enum class OrderStatus { pending, paid };
//   HOLDFAST_DESCRIBE_ENUM(OrderStatus, pending, paid)
//
// Both stand in the namespace of what they describe, at the end of a struct's declaration. Thread-safety:
// compile-time only.
#pragma once

#include <array>
#include <boost/describe.hpp>
#include <boost/mp11/algorithm.hpp>
#include <boost/mp11/list.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#define HOLDFAST_DESCRIBE(Type, members) BOOST_DESCRIBE_STRUCT(Type, (), members)
/// The same, written inside the struct, which a template needs: `HOLDFAST_DESCRIBE_WITHIN(Page, (items,
/// next))`.
#define HOLDFAST_DESCRIBE_WITHIN(Type, members) BOOST_DESCRIBE_CLASS(Type, (), members, (), ())
#define HOLDFAST_DESCRIBE_ENUM(Type, ...) BOOST_DESCRIBE_ENUM(Type, __VA_ARGS__)

namespace holdfast {

template <class T>
concept Described = std::is_class_v<T> && boost::describe::has_describe_members<T>::value;

template <class T>
concept DescribedEnum = std::is_enum_v<T> && boost::describe::has_describe_enumerators<T>::value;

namespace detail {

template <Described T>
using MemberList = boost::describe::describe_members<T, boost::describe::mod_public>;

template <class Pointer>
struct MemberOf;
template <class Owner, class Value>
struct MemberOf<Value Owner::*> {
  using type = Value;
};

/// `"camelCase":` made of snake_case, so that a writer appends it as it is.
template <class Descriptor>
struct JsonKey {
  static constexpr std::size_t kSize = std::char_traits<char>::length(Descriptor::name);
  struct Text {
    char chars[kSize + 4] = {};
    std::size_t size = 0;
  };
  static constexpr Text kText = [] {
    Text text;
    text.chars[text.size++] = '"';
    bool upper = false;
    for (std::size_t i = 0; i < kSize; ++i) {
      const char c = Descriptor::name[i];
      if (c == '_') {
        upper = true;
        continue;
      }
      text.chars[text.size++] = upper && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
      upper = false;
    }
    text.chars[text.size++] = '"';
    text.chars[text.size++] = ':';
    return text;
  }();
};

}  // namespace detail

template <Described T>
inline constexpr std::size_t kMemberCount = boost::mp11::mp_size<detail::MemberList<T>>::value;

/// The member at index I of T, in the order of the description.
template <Described T, std::size_t I>
struct Member {
  using Descriptor = boost::mp11::mp_at_c<detail::MemberList<T>, I>;
  static constexpr auto pointer = Descriptor::pointer;
  using type = typename detail::MemberOf<std::remove_const_t<decltype(pointer)>>::type;

  static constexpr std::size_t index = I;
  /// As in C++ and SQL: "unit_price".
  static constexpr std::string_view name = Descriptor::name;
  /// As in JSON, `"unitPrice":` and "unitPrice".
  static constexpr std::string_view json_key{detail::JsonKey<Descriptor>::kText.chars,
                                             detail::JsonKey<Descriptor>::kText.size};
  static constexpr std::string_view json_name = json_key.substr(1, json_key.size() - 3);
};

/// Calls `visit(Member<T, 0>{})`, `visit(Member<T, 1>{})`, … For code that needs more than name and pointer.
template <Described T, class Visit>
constexpr void for_each_member_info(Visit&& visit) {
  [&]<std::size_t... I>(std::index_sequence<I...>) { (visit(Member<T, I>{}), ...); }
  (std::make_index_sequence<kMemberCount<T>>{});
}

/// Calls `visit(name, pointer to member)` for each, in order: `visit("sku", &OrderItem::sku)`.
template <Described T, class Visit>
constexpr void for_each_member(Visit&& visit) {
  for_each_member_info<T>([&](auto member) { visit(member.name, member.pointer); });
}

/// The snake_case name of the member at `index`, which is also its column; empty past the end.
template <Described T>
constexpr std::string_view column_name(std::size_t index) {
  std::string_view found;
  for_each_member_info<T>([&](auto member) {
    if (member.index == index) found = member.name;
  });
  return found;
}

/// The enumerator's name, or an empty string for a value that none has.
template <DescribedEnum E>
constexpr std::string_view enum_name(E value) noexcept {
  std::string_view found;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<E>>([&](auto enumerator) {
    if (enumerator.value == value) found = enumerator.name;
  });
  return found;
}

/// The enumerator so named; exact, never a default.
template <DescribedEnum E>
constexpr std::optional<E> enum_from_name(std::string_view name) noexcept {
  std::optional<E> found;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<E>>([&](auto enumerator) {
    if (enumerator.name == name) found = enumerator.value;
  });
  return found;
}

namespace detail {
/// "holdfast::Page<holdfast::orders::Order>" becomes "PageOrder".
std::string short_type_name(std::string_view pretty_function);
}  // namespace detail

/// The type's name without namespaces, for documents: `OrderItem`, and `PageOrder` for `Page<Order>`.
template <class T>
const std::string& type_name() {
  static const std::string name = detail::short_type_name(__PRETTY_FUNCTION__);
  return name;
}

}  // namespace holdfast
