// What a typed route takes and gives, as data: the document (openapi.hpp) is made of it. Functions rather
// than texts, since a schema is written into a registry that belongs to the document.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "holdfast/base/json_schema.hpp"

namespace holdfast::http {

struct ParameterSchema {
  std::string name;  ///< as in the pattern or the query string
  bool required = true;
  bool list = false;   ///< items separated by commas
  std::string schema;  ///< JSON
  std::string description;
};

struct Operation {
  using Parameters = std::vector<ParameterSchema> (*)(SchemaRegistry&);
  using Schema = std::string (*)(SchemaRegistry&);

  Parameters path = nullptr;   ///< null: none described
  Parameters query = nullptr;  ///< null: the query string is not looked at
  Schema body = nullptr;       ///< null: no body is read
  Schema answer = nullptr;     ///< null: no body, or an undescribed one
  int status = 200;            ///< of success
  bool location = false;       ///< the answer has a Location
};

}  // namespace holdfast::http
