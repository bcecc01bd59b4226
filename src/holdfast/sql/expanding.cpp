// Whether a step of the schema only adds; declared in migrations.hpp.
#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/sql/migrations.hpp"

namespace holdfast::sql {
namespace {

/// The words of a statement in lower case, without comments; a name with its parenthesis is two.
std::vector<std::string> words_of(std::string_view statement) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) words.push_back(std::exchange(word, {}));
  };
  for (std::size_t i = 0; i < statement.size(); ++i) {
    if (statement.substr(i, 2) == "--") {
      i = std::min(statement.find('\n', i), statement.size() - 1);
      end_word();
    } else if (std::isspace(static_cast<unsigned char>(statement[i])) != 0 || statement[i] == '(') {
      end_word();
    } else {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(statement[i])));
    }
  }
  end_word();
  return words;
}

/// At the semicolons outside of $$ … $$, quotes and comments.
std::vector<std::string_view> statements_of(std::string_view script) {
  std::vector<std::string_view> statements;
  std::size_t begin = 0;
  bool body = false;
  bool text = false;
  for (std::size_t i = 0; i < script.size(); ++i) {
    if (!text && !body && script.substr(i, 2) == "--") i = std::min(script.find('\n', i), script.size() - 1);
    if (!text && script.substr(i, 2) == "$$") {
      body = !body;
      ++i;
    } else if (!body && script[i] == '\'') {
      text = !text;
    } else if (!body && !text && script[i] == ';') {
      statements.push_back(script.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  statements.push_back(script.substr(begin));
  return statements;
}

bool has(const std::vector<std::string>& words, std::initializer_list<std::string_view> wanted) {
  return std::search(words.begin(), words.end(), wanted.begin(), wanted.end()) != words.end();
}

}  // namespace

std::string more_than_adds(std::string_view up_sql) {
  std::set<std::string> made;  // tables of this very step: nobody older knows them
  for (const std::string_view statement : statements_of(up_sql)) {
    const std::vector<std::string> words = words_of(statement);
    if (words.empty()) continue;
    const auto quoted = [&] { return "\"" + std::string(statement.substr(0, 80)) + "\" "; };
    const std::string& verb = words.front();
    const bool index = has(words, {"create", "index"}) || has(words, {"create", "unique", "index"});
    const auto on = std::find(words.begin(), words.end(), "on");
    const bool of_new_table = on != words.end() && on + 1 != words.end() && made.contains(on[1]);
    if (verb == "create" && words.size() > 2 && words[1] == "table") {
      made.insert(words[2]);
    } else if (verb == "create" && index) {
      if (words[1] == "unique" && !of_new_table)
        return quoted() + "refuses rows that an older release writes";
    } else if (verb == "create" && has(words, {"trigger"})) {
      if (!of_new_table && !std::any_of(made.begin(), made.end(), [&](const std::string& table) {
            return std::find(words.begin(), words.end(), table) != words.end();
          })) {
        return quoted() + "acts on what an older release does";
      }
    } else if (verb == "alter") {
      if (words.size() > 2 && words[1] == "table" && made.contains(words[2])) continue;
      if (!has(words, {"add", "column"})) return quoted() + "changes what an older release uses";
      if (has(words, {"not", "null"}) && !has(words, {"default"})) {
        return quoted() + "wants a value that an older release does not give";
      }
    } else if (verb == "drop" && words.size() > 1 && words[1] == "index") {
      continue;
    } else if (verb != "create" && verb != "insert" && verb != "begin" && verb != "end") {
      return quoted() + "changes or takes away what an older release uses";
    }
  }
  return {};
}

}  // namespace holdfast::sql
