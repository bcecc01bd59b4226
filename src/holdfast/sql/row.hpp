// From rows to C++: a described struct by column name, a scalar from the only column, a std::tuple by
// position. Which column goes where is settled once a statement, not once a row.
//
//   struct Stock { std::string sku; std::int64_t quantity; };
//   HOLDFAST_DESCRIBE(Stock, (sku, quantity))
//   db.query<Stock>(ctx, "select sku, quantity from stock where quantity < $1", 10);
//
// A member without a column, or a column without a member, is Error(internal) naming it, the struct
// and the statement; NULL in a member that is not std::optional likewise.
#pragma once

#include <array>
#include <cstddef>
#include <exception>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "holdfast/base/describe.hpp"
#include "holdfast/sql/value.hpp"

namespace holdfast::sql {

/// The row a statement stands on. Values and names hold until the statement moves on.
class RowView {
 public:
  virtual std::size_t columns() const noexcept = 0;
  virtual std::string_view name(std::size_t column) const = 0;
  virtual Value value(std::size_t column) const = 0;
  virtual std::string_view statement() const noexcept = 0;  ///< its SQL, for messages

 protected:
  ~RowView() = default;
};

/// Told of a statement's columns once, before its first row, then of each row.
class RowSink {
 public:
  virtual void columns(const RowView& row) = 0;
  virtual bool row(const RowView& row) = 0;  ///< false: no more, please

 protected:
  ~RowSink() = default;
};

[[noreturn]] void throw_unknown_column(const RowView& row, std::size_t column);
[[noreturn]] void throw_missing_column(const RowView& row, std::string_view member);
[[noreturn]] void throw_column_count(const RowView& row, std::size_t wanted);
/// Rethrows the exception at hand with the column's name and the statement added.
[[noreturn]] void rethrow_for_column(const RowView& row, std::size_t column);

template <class T>
T read_column(const RowView& row, std::size_t column) {
  try {
    return Codec<T>::from_value(row.value(column));
  } catch (const std::exception&) {
    rethrow_for_column(row, column);
  }
}

template <class T>
struct IsTuple : std::false_type {};
template <class... Ts>
struct IsTuple<std::tuple<Ts...>> : std::true_type {};

/// Reads rows as T. Made once a statement's execution.
template <class T>
class RowReader {
  static_assert(
      Described<T>,
      "A row is a described struct (HOLDFAST_DESCRIBE), a type with a sql::Codec, or a std::tuple.");

 public:
  void columns(const RowView& row) {
    const std::size_t count = row.columns();
    for_each_member_info<T>(
        [&](auto member) { column_of_[member.index] = find(row, count, member.index, member.name); });
    if (count != kMemberCount<T>) refuse_surplus(row, count);
  }

  T read(const RowView& row) const {
    T made{};
    for_each_member_info<T>([&](auto member) {
      using Type = typename decltype(member)::type;
      made.*member.pointer = read_column<Type>(row, column_of_[member.index]);
    });
    return made;
  }

 private:
  // Statements mostly name their columns in the order of the members, so that is looked at first.
  static std::size_t find(const RowView& row, std::size_t count, std::size_t member, std::string_view name) {
    if (member < count && row.name(member) == name) return member;
    for (std::size_t column = 0; column < count; ++column) {
      if (row.name(column) == name) return column;
    }
    throw_missing_column(row, name);
  }

  void refuse_surplus(const RowView& row, std::size_t count) const {
    for (std::size_t column = 0; column < count; ++column) {
      bool taken = false;
      for (const std::size_t used : column_of_) taken = taken || used == column;
      if (!taken) throw_unknown_column(row, column);
    }
  }

  std::array<std::size_t, kMemberCount<T>> column_of_{};
};

template <Readable T>
class RowReader<T> {
 public:
  void columns(const RowView& row) {
    if (row.columns() != 1) throw_column_count(row, 1);
  }
  T read(const RowView& row) const { return read_column<T>(row, 0); }
};

template <class T>
requires IsTuple<T>::value class RowReader<T> {
  static constexpr std::size_t kSize = std::tuple_size_v<T>;

 public:
  void columns(const RowView& row) {
    if (row.columns() != kSize) throw_column_count(row, kSize);
  }
  T read(const RowView& row) const {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return T{read_column<std::tuple_element_t<I, T>>(row, I)...};
    }
    (std::make_index_sequence<kSize>());
  }
};

/// Hands each row, read as T, to `receive`, which returns whether it wants more (or nothing: all).
template <class T, class Receive>
class ReadingSink final : public RowSink {
 public:
  explicit ReadingSink(Receive& receive) : receive_(receive) {}
  void columns(const RowView& row) override { reader_.columns(row); }
  bool row(const RowView& row) override {
    if constexpr (std::is_void_v<std::invoke_result_t<Receive&, T>>) {
      receive_(reader_.read(row));
      return true;
    } else {
      return static_cast<bool>(receive_(reader_.read(row)));
    }
  }

 private:
  RowReader<T> reader_;
  Receive& receive_;
};

}  // namespace holdfast::sql
